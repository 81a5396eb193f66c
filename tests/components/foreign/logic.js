// A component in another language: JavaScript, with an engine of its own inside, which imports WASI.
//
// It does an honest part of the job. It sums the usage of buckets of generation C by the corrected rules, with
// watermarks, to the very writes that weir-logic makes. It refills nothing, splits nothing and archives nothing;
// what it leaves undone and is needed by somebody, it rejects, so that the host keeps it.

import { changeOf, Unusable } from "./change.js";
import { look } from "./surroundings.js";
import { Snapshots, WINDOWS } from "./usage.js";

// Without these it would have to sum by other rules, which it does not know.
const NEEDED = {
    "window-suffix": "Windows never share an item.",
    "event-time": "Usage is booked when it was consumed.",
    "first-consumption": "The consumption inside an INSERT counts.",
};

function plan(batch, settings) {
    const missing = Object.keys(NEEDED).filter((name) => !settings.corrections.includes(name));
    if (missing.length > 0) {
        throw { tag: "bad-settings", val: `this component needs ${missing.join(", ")}` };
    }
    const records = recordsOf(batch.event);
    const snapshots = new Snapshots(batch, settings);
    const rejects = [];
    let events = 0;
    records.forEach((record, index) => {
        const reject = (reason) => rejects.push({ record: index, reason });
        try {
            const change = changeOf(record, index);
            if (change === "audit event") {
                events += 1;
                if (settings.archive) {
                    reject("this component archives nothing");
                }
            } else if (change !== null) {
                snapshots.add(change, reject);
            }
        } catch (error) {
            if (!(error instanceof Unusable)) {
                throw error;
            }
            reject(error.message);
        }
    });
    return {
        writes: snapshots.writes(),
        reads: [],
        rejects,
        log: settings.level === "debug" ? [look(snapshots.nextPosition())] : [],
        groupLog: [],
        tally: { records: records.length, deltas: snapshots.deltas, duplicates: snapshots.duplicates, events, degraded: 0 },
    };
}

function recordsOf(bytes) {
    let event;
    try {
        event = JSON.parse(textOf(bytes));
    } catch (error) {
        throw { tag: "not-json", val: String(error) };
    }
    if (!Array.isArray(event?.Records)) {
        throw { tag: "not-an-event", val: "there is no array `Records`" };
    }
    return event.Records;
}

// Bytes of UTF-8 as text; the engine has no TextDecoder. Each byte becomes a character, and what is not ASCII is put
// together by way of percent signs.
function textOf(bytes) {
    const pieces = [];
    for (let at = 0; at < bytes.length; at += 4096) {
        pieces.push(String.fromCharCode(...bytes.slice(at, at + 4096)));
    }
    const text = pieces.join("");
    return /[\x80-\xff]/.test(text) ? decodeURIComponent(escape(text)) : text;
}

function terms(named) {
    return Object.entries(named).map(([name, description]) => ({ name, description }));
}

function describe() {
    return {
        name: "weir-foreign",
        version: "0.1.0",
        generations: ["C"],
        windows: terms(Object.fromEntries(Object.entries(WINDOWS).map(([name, { says }]) => [name, says]))),
        corrections: terms(NEEDED),
        options: [],
    };
}

export const logic = { plan, describe };
