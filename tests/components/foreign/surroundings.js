// What a component can see of the machine it runs on: nothing, the host sees to that.

import environment from "wasi:cli/environment@0.2.6";
import clock from "wasi:clocks/wall-clock@0.2.6";
import preopens from "wasi:filesystem/preopens@0.2.6";

// A log line with what there is to see.
export function look(position) {
    const variables = environment.getEnvironment().map(([name]) => name);
    const folders = preopens.getDirectories().map(([, path]) => path);
    return {
        position,
        level: "debug",
        scope: "processor",
        message: "Looked around",
        fields: [
            { name: "variables", value: { tag: "texts", val: variables } },
            { name: "folders", value: { tag: "texts", val: folders } },
            { name: "clock_seconds", value: { tag: "number", val: String(clock.now().seconds) } },
        ],
        isError: false,
    };
}
