// Changes → merged snapshot writes: one for each bucket shard and snapshot item, with one condition.

export const WINDOWS = {
    hourly: { says: "An hour.", start: (time) => `${time.slice(0, 13)}:00:00Z`, suffix: "" },
    daily: { says: "A day.", start: (time) => `${time.slice(0, 10)}T00:00:00Z`, suffix: "#daily" },
    monthly: { says: "A month.", start: (time) => `${time.slice(0, 7)}-01T00:00:00Z`, suffix: "#monthly" },
};

// Attributes of a snapshot, and keys of the table's indexes: no counter can have such a name.
const RESERVED = /^(PK|SK|(GSI[1-4]|LSI[1-5])[PS]K|entity_id|resource|window|window_start|total_events|ttl|_applied_.*)$/;

const DAY = 86_400;

export class Snapshots {
    deltas = 0;
    duplicates = 0;
    #settings;
    #known;
    #now;
    #seen = new Set();
    #list = new Map();
    #position = 0;

    constructor(batch, settings) {
        this.#settings = settings;
        this.#now = batch.now;
        this.#known = new Map(batch.known.map(({ key, item }) => [`${key.pk} ${key.sk}`, item ?? []]));
    }

    // The place of the next log line.
    nextPosition() {
        return this.#position++;
    }

    // Adds what a bucket's change tells; `reject` is for what cannot be counted.
    add(change, reject) {
        this.deltas += change.deltas.length;
        const place = `${change.namespace}/${change.entity}#${change.resource}#${change.shard} ${change.mark}`;
        if (change.deltas.length > 0 && this.#seen.has(place)) {
            this.duplicates += change.deltas.length * this.#settings.windows.length;
            return;
        }
        this.#seen.add(place);
        const time = new Date(change.created * 1000).toISOString();
        for (const { limit, consumed } of change.deltas) {
            if (RESERVED.test(limit)) {
                reject(`the limit's name \`${limit}\` is reserved in snapshots`);
                continue;
            }
            for (const window of this.#settings.windows) {
                this.#addTo(window, time, change, limit, wholeTokens(consumed));
            }
        }
    }

    #addTo(window, time, change, limit, tokens) {
        const { namespace, entity, resource, shard, mark, index } = change;
        const start = WINDOWS[window].start(time);
        const pk = `${namespace}/ENTITY#${entity}`;
        const sk = `#USAGE#${resource}#${start}${WINDOWS[window].suffix}`;
        const watermark = `_applied_${shard}`;
        const id = `usage ${pk} ${sk} ${watermark}`;
        if (!this.#list.has(id)) {
            const stored = this.#known.get(`${pk} ${sk}`)?.find(({ name }) => name === watermark)?.value;
            this.#list.set(id, {
                key: { pk, sk },
                of: { namespace, entity, resource, window, start, watermark },
                stored: stored?.tag === "text" ? stored.val : "",
                marks: [],
                counters: new Map(),
                records: new Set(),
                updates: 0,
            });
        }
        const snapshot = this.#list.get(id);
        if (mark <= snapshot.stored) {
            this.duplicates += 1;
            return;
        }
        snapshot.marks.push(mark);
        snapshot.counters.set(limit, (snapshot.counters.get(limit) ?? 0n) + tokens);
        snapshot.records.add(index);
        snapshot.updates += 1;
    }

    // The writes, in the order in which they were first needed.
    writes() {
        return [...this.#list.values()].filter(({ updates }) => updates > 0).map((snapshot) => this.#write(snapshot));
    }

    #write({ key, of, marks, counters, records, updates }) {
        const { namespace, entity, resource, window, start, watermark } = of;
        const ttl = Math.floor(this.#now / 1000) + this.#settings.snapshotTtlDays * DAY;
        marks.sort();
        const text = (val) => ({ tag: "text", val });
        const assign = (attribute, tag, val) => ({ attribute, change: { tag, val } });
        const limits = [...counters.keys()];
        return {
            purpose: "usage",
            operation: {
                tag: "update-item",
                val: {
                    key,
                    assignments: [
                        assign("entity_id", "set", text(entity)),
                        assign("resource", "set-if-absent", text(resource)),
                        assign("window", "set-if-absent", text(window)),
                        assign("window_start", "set-if-absent", text(start)),
                        assign("GSI2PK", "set", text(`${namespace}/RESOURCE#${resource}`)),
                        assign("GSI2SK", "set", text(`USAGE#${start}#${entity}`)),
                        assign("GSI4PK", "set-if-absent", text(namespace)),
                        assign("GSI4SK", "set-if-absent", text(key.pk)),
                        assign("ttl", "set-if-absent", { tag: "number", val: String(ttl) }),
                        ...limits.map((limit) => assign(limit, "add", String(counters.get(limit)))),
                        assign("total_events", "add", String(updates)),
                        assign(watermark, "set", text(marks.at(-1))),
                    ],
                    conditions: [
                        { attribute: watermark, test: { tag: "absent-or-less-than", val: text(marks[0]) } },
                    ],
                },
            },
            records: [...records],
            updates,
            windows: [this.#settings.windows.indexOf(window)],
            position: this.nextPosition(),
            onConflict: "re-plan",
            whenApplied: [],
            whenConflicted: [],
        };
    }
}

// Thousandths to whole tokens, rounded toward negative infinity.
function wholeTokens(milli) {
    return (milli - (((milli % 1000n) + 1000n) % 1000n)) / 1000n;
}
