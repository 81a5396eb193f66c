// One stream record → what changed in one bucket.

import { watermark } from "./watermark.js";

// Why a record cannot be used, in a sentence for a person.
export class Unusable extends Error {}

const COUNTER = /^b_(.+)_tc$/;

// The change that a record tells of; "audit event" for the expiry of one; null where it is about neither.
export function changeOf(record, index) {
    const { NewImage: after, OldImage: before } = record.dynamodb ?? {};
    if (record.eventName === "REMOVE") {
        return /^([^#/]*\/)?AUDIT#/.test(before?.PK?.S) ? "audit event" : null;
    }
    if (!["INSERT", "MODIFY"].includes(record.eventName) || !after?.entity_id?.S) {
        return null;
    }
    if (/^([^#/]*\/)?ENTITY#/.test(after.PK?.S) && /^#BUCKET#./.test(after.SK?.S)) {
        throw new Unusable("a bucket of generation A or B; this component knows generation C only");
    }
    const key = /^([^#/]+)\/BUCKET#([^#]+)#(.+)#(0|[1-9][0-9]*)$/.exec(after.PK?.S);
    if (key === null || after.SK?.S !== "#STATE") {
        return null;
    }
    const mark = watermark(record.eventSourceARN, record.dynamodb.SequenceNumber);
    if (mark === null) {
        throw new Unusable("it does not tell its position in the stream");
    }
    const created = record.dynamodb.ApproximateCreationDateTime;
    if (typeof created !== "number") {
        throw new Unusable("it does not tell when it was written");
    }
    const [, namespace, entity, resource, shard] = key;
    return { index, namespace, entity, resource, shard, mark, created, deltas: deltasOf(after, before) };
}

// What was consumed of each limit, in thousandths of a token. `wcu` counts writes to the bucket, not usage.
function deltasOf(after, before) {
    return Object.keys(after)
        .map((attribute) => COUNTER.exec(attribute))
        .filter((counter) => counter !== null && counter[1] !== "wcu")
        .map(([attribute, limit]) => {
            const consumed = integer(after[attribute]) - integer(before?.[attribute] ?? { N: "0" });
            return { limit, consumed };
        })
        .filter(({ consumed }) => consumed !== 0n);
}

function integer(value) {
    if (!/^-?[0-9]{1,38}$/.test(value?.N)) {
        throw new Unusable(`not a whole number: ${JSON.stringify(value)}`);
    }
    return BigInt(value.N);
}
