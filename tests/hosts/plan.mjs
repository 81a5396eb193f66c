// Plans batches with a component under Node.js.
//
//     node plan.mjs COMPONENT < batches.json > plans.json
//
// jco makes JavaScript of the component (this is the library behind `jco transpile`). Started in the folder where
// it is installed. What goes in and out has the shape of `weir replay --json`: a list of batches with their
// settings, and for each of them `{"Ok": plan}` or `{"Err": error}`.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { argv, cwd, stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const installed = createRequire(join(cwd(), "/"));

async function load(component) {
    const jco = await import(pathToFileURL(installed.resolve("@bytecodealliance/jco-transpile")));
    const folder = await mkdtemp(join(tmpdir(), "weir-"));
    try {
        const options = { name: "component", outDir: folder };
        const { files, imports } = await jco.transpileBytes(await readFile(component), options);
        if (imports.length > 0) {
            throw new Error(`the component imports ${imports.join(", ")}; here it is given nothing`);
        }
        for (const [path, content] of Object.entries(files)) {
            await mkdir(dirname(path), { recursive: true });
            await writeFile(path, content);
        }
        await writeFile(join(folder, "package.json"), `{ "type": "module" }`);
        return (await import(pathToFileURL(join(folder, "component.js")))).logic;
    } finally {
        await rm(folder, { recursive: true });
    }
}

// -------------------------------------------------------------------------- names: JSON, JavaScript, WIT

const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const pascalCase = (name) => name.replace(/(^|-)(.)/g, (_, __, letter) => letter.toUpperCase());
const kebabCase = (name) => name.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();

// ---------------------------------------------------------------------------------------------- what goes in

const variant = (json) => {
    const [[name, val]] = Object.entries(json);
    return { tag: kebabCase(name), val };
};

const toItem = ({ key, item }) => ({
    key,
    item: item?.map(({ name, value }) => ({ name, value: variant(value) })),
});

const toBatch = (json) => ({
    event: new TextEncoder().encode(json.event),
    now: BigInt(json.now),
    requestId: json.request_id,
    known: json.known.map(toItem),
});

const toSettings = (json) => ({
    windows: json.windows,
    snapshotTtlDays: json.snapshot_ttl_days,
    archive: json.archive,
    corrections: json.corrections,
    options: json.options,
    level: kebabCase(json.level),
});

// --------------------------------------------------------------------------------------------- what comes out

// An enum's case is a string like any other here. These members and cases hold such.
const ENUMS = new Set(["purpose", "onConflict", "level", "scope", "fact"]);

const toJson = (value, name) => {
    if (value === undefined) {
        return null;
    }
    if (value instanceof Uint8Array) {
        return new TextDecoder().decode(value);
    }
    // A list of numbers is an array of its own kind.
    if (Array.isArray(value) || ArrayBuffer.isView(value)) {
        return Array.from(value, (element) => toJson(element));
    }
    if (typeof value === "object" && "tag" in value) {
        const { tag, val } = value;
        return val === undefined ? pascalCase(tag) : { [pascalCase(tag)]: toJson(val, tag) };
    }
    if (typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, val]) => [snakeCase(key), toJson(val, key)]));
    }
    return ENUMS.has(name) ? pascalCase(value) : value;
};

const plan = (logic, { batch, settings }) => {
    try {
        return { Ok: toJson(logic.plan(toBatch(batch), toSettings(settings))) };
    } catch (error) {
        // What the component returns as an error is thrown as it is; what goes wrong beside it, as an Error.
        if (error instanceof Error) {
            throw error;
        }
        return { Err: toJson(error) };
    }
};

const logic = await load(argv[2]);
const batches = JSON.parse(await text(stdin));
stdout.write(JSON.stringify(batches.map((batch) => plan(logic, batch))));
