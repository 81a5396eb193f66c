//! How large a component's code is, checked before it is compiled: the time and memory of compiling grow faster than
//! the code, and a host that is killed by it cannot fall back to another component.

use super::{imports, version};
use wasmparser::{Encoding, FunctionBody, Parser, Payload};

/// Functions of a component; one that brings its language's runtime has some ten thousand.
const MAX_FUNCTIONS: u64 = 100_000;

/// Bytes of one function; an interpreter's main loop has some ten thousand.
const MAX_FUNCTION_BYTES: u64 = 256 << 10;

/// Local variables of one function; an interpreter's main loop has a few hundred.
const MAX_FUNCTION_LOCALS: u64 = 10_000;

/// Local variables of all functions.
const MAX_LOCALS: u64 = 1_000_000;

/// Passes if a component imports only what it may, exports the contract and can be compiled at a reasonable cost; else
/// says why not. What cannot be parsed passes: the engine refuses it with better words, before it compiles anything.
pub(super) fn check(component: &[u8]) -> Result<(), String> {
    let mut contents = Contents::default();
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { return Ok(()) };
        contents.add(payload)?;
    }
    if contents.is_component {
        imports::check(&contents.imports)?;
        version::check(&contents.exports)?;
    }
    Ok(())
}

/// What was found in a component.
#[derive(Default)]
struct Contents {
    is_component: bool,
    depth: u32,
    imports: Vec<String>,
    exports: Vec<String>,
    functions: u64,
    locals: u64,
}

impl Contents {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.is_component |= self.depth == 0 && encoding == Encoding::Component;
                self.depth += 1;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if self.depth == 1 => {
                let imports = imports.into_iter().filter_map(Result::ok);
                self.imports
                    .extend(imports.map(|import| import.name.name.to_owned()));
            }
            Payload::ComponentExportSection(exports) if self.depth == 1 => {
                let exports = exports.into_iter().filter_map(Result::ok);
                self.exports
                    .extend(exports.map(|export| export.name.name.to_owned()));
            }
            Payload::CodeSectionEntry(body) => self.add_function(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<(), String> {
        let mut locals = 0_u64;
        for group in body.get_locals_reader().into_iter().flatten().flatten() {
            locals = locals.saturating_add(group.0.into());
        }
        self.functions += 1;
        self.locals = self.locals.saturating_add(locals);
        let range = body.range();
        let size = (range.end - range.start) as u64;
        for (what, found, allowed) in [
            ("functions", self.functions, MAX_FUNCTIONS),
            ("bytes in one function", size, MAX_FUNCTION_BYTES),
            (
                "local variables in one function",
                locals,
                MAX_FUNCTION_LOCALS,
            ),
            ("local variables", self.locals, MAX_LOCALS),
        ] {
            if found > allowed {
                return Err(format!(
                    "it has more than {allowed} {what}, and would take too long to compile"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of seven bits in each byte, the lowest first.
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let digit = (value & 127) as u8;
            value >>= 7;
            bytes.push(digit | if value == 0 { 0 } else { 128 });
            if value == 0 {
                return bytes;
            }
        }
    }

    fn sized(content: &[u8]) -> Vec<u8> {
        [&number(content.len()), content].concat()
    }

    /// A function with this many locals and this many instructions that do nothing.
    fn function(locals: usize, instructions: usize) -> Vec<u8> {
        let body = [
            vec![1],
            number(locals),
            vec![0x7f],
            vec![1; instructions],
            vec![0x0b],
        ];
        sized(&body.concat())
    }

    /// A component whose core module has that function, repeated, and that exports nothing.
    fn component(functions: usize, function: &[u8]) -> Vec<u8> {
        let section = |id: u8, content: &[u8]| [vec![id], sized(content)].concat();
        let module = [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &[1, 0x60, 0, 0]),
            section(3, &[number(functions), vec![0; functions]].concat()),
            section(
                10,
                &[number(functions), function.repeat(functions)].concat(),
            ),
        ];
        [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module.concat())].concat()
    }

    #[test]
    fn what_would_take_too_long_to_compile_is_refused_before() {
        let reason = |functions, locals, instructions| {
            check(&component(functions, &function(locals, instructions))).unwrap_err()
        };
        let none = "it does not export weir:aggregator/logic@0.2.0";
        for (functions, locals, instructions, said) in [
            (10, 1_000, 1_000, none),
            (1, 10_000, 200_000, none),
            (100_001, 0, 0, "more than 100000 functions"),
            (1, 0, 300_000, "more than 262144 bytes in one function"),
            (1, 10_001, 0, "more than 10000 local variables in one"),
            (101, 10_000, 0, "more than 1000000 local variables, and"),
        ] {
            let reason = reason(functions, locals, instructions);
            assert!(reason.contains(said), "{said}: {reason}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_engine() {
        let whole = component(1, &function(1, 1));
        for bytes in [
            &b"no component"[..],
            b"",
            &whole[..whole.len() - 2],
            b"\0asm\x01\0\0\0",
        ] {
            assert_eq!(check(bytes), Ok(()), "{bytes:?}");
        }
    }
}
