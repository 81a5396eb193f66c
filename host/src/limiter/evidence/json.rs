//! A cursor over JSON text, for a reader that must not fail and must not build a tree.
//!
//! It takes text to be well-formed: a component has read it, or there is no plan to check. Of other text it reads what
//! it can, and always comes to the end.

use std::borrow::Cow;

/// A place in a JSON text: before a value, or behind the last one.
#[derive(Debug)]
pub(super) struct Json<'e> {
    text: &'e str,
    at: usize,
}

/// A typed value: its text where it is of type S, its decimal text where it is of type N.
#[derive(Debug, Default)]
pub(super) struct Typed<'e> {
    pub(super) text: Option<Cow<'e, str>>,
    pub(super) number: Option<Cow<'e, str>>,
}

impl<'e> Json<'e> {
    /// The beginning of a text.
    pub(super) fn new(text: &'e str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads an object. `read` is given each member's name, and the cursor before its value; what it leaves is skipped.
    /// False where the value is no object; then it is skipped.
    pub(super) fn members(&mut self, mut read: impl FnMut(Cow<'e, str>, &mut Self)) -> bool {
        if self.peek() != Some(b'{') {
            self.skip();
            return false;
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(b',') => {
                    self.at += 1;
                    continue;
                }
                _ => break,
            }
            let name = self.quoted();
            if self.peek() == Some(b':') {
                self.at += 1;
            }
            self.peek();
            let before = self.at;
            read(unescaped(name).unwrap_or(Cow::Borrowed(name)), self);
            if self.at == before {
                self.skip();
            }
        }
        self.at += 1;
        true
    }

    /// Reads an array: `read` is given the cursor before each element; what it leaves is skipped. A value that is no
    /// array is skipped.
    pub(super) fn elements(&mut self, mut read: impl FnMut(&mut Self)) {
        if self.peek() != Some(b'[') {
            return self.skip();
        }
        self.at += 1;
        loop {
            match self.peek() {
                None | Some(b']') => break,
                Some(b',') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
            }
            let before = self.at;
            read(self);
            if self.at == before {
                self.skip();
            }
            // Only text that is no JSON gets here without a step.
            self.at = self.at.max(before + 1);
        }
        self.at += 1;
    }

    /// Reads a string; none where the value is something else, which is skipped, or holds what no text can hold.
    pub(super) fn text(&mut self) -> Option<Cow<'e, str>> {
        if self.peek() != Some(b'"') {
            self.skip();
            return None;
        }
        unescaped(self.quoted())
    }

    /// Reads a typed value. Of a type given twice the last value counts.
    pub(super) fn typed(&mut self) -> Typed<'e> {
        let mut typed = Typed::default();
        self.members(|name, value| match name.as_ref() {
            "S" => typed.text = value.text(),
            "N" => typed.number = value.text(),
            _ => {}
        });
        typed
    }

    /// How far it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What it has read since it was there.
    pub(super) fn since(&self, start: usize) -> &'e str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips a value.
    pub(super) fn skip(&mut self) {
        let bytes = self.text.as_bytes();
        match self.peek() {
            Some(b'"') => {
                self.quoted();
            }
            Some(b'{' | b'[') => {
                let mut depth = 0_usize;
                while let Some(byte) = bytes.get(self.at) {
                    match byte {
                        b'"' => {
                            self.quoted();
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                while let Some(byte) = bytes.get(self.at)
                    && !matches!(byte, b',' | b'}' | b']')
                {
                    self.at += 1;
                }
            }
        }
    }

    /// The next byte that is no white space; the cursor is before it.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Reads the string that the cursor is before: what stands between its quotation marks.
    fn quoted(&mut self) -> &'e str {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        self.at = start;
        loop {
            match bytes.get(self.at) {
                None | Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        quoted
    }
}

/// What a string says; none where it holds half a surrogate pair.
fn unescaped(quoted: &str) -> Option<Cow<'_, str>> {
    if !quoted.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(quoted));
    }
    serde_json::from_str(&format!("\"{quoted}\""))
        .ok()
        .map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text and every member's name, as the cursor meets them.
    fn texts(json: &mut Json<'_>, found: &mut Vec<String>) {
        match json.peek() {
            Some(b'{') => {
                json.members(|name, value| {
                    found.push(name.into_owned());
                    texts(value, found);
                });
            }
            Some(b'[') => json.elements(|element| texts(element, found)),
            _ => found.extend(json.text().map(Cow::into_owned)),
        }
    }

    #[test]
    fn what_is_read_is_what_stands_there() {
        let text = r#" { "a" : "b\n\u00e9" , "c":[ 1 , "d", {"e":-1e999},[ ] ,null], "\"":{ } , "f\\" :"" } "#;
        let mut found = Vec::new();
        texts(&mut Json::new(text), &mut found);
        assert_eq!(found, ["a", "b\né", "c", "d", "e", "\"", "f\\", ""]);
    }

    #[test]
    fn what_nobody_reads_is_skipped() {
        let text = r#"{"a":{"x":["}\"]",{"y":[]}]},"b":[1,{"c":"]"}],"d":tru e,"e":"here"}"#;
        let mut json = Json::new(text);
        let mut last = None;
        assert!(json.members(|name, value| {
            if name == "e" {
                last = value.text();
            }
        }));
        assert_eq!(last.as_deref(), Some("here"));
        assert_eq!(json.at(), text.len());
    }

    #[test]
    fn text_that_is_no_json_comes_to_an_end() {
        let text = r#"{"a":[{"b":"c\"d"},-1,}"é\u12"#;
        for start in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            for end in (start..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let cut = text.get(start..end).unwrap_or_default();
                let mut found = Vec::new();
                texts(&mut Json::new(cut), &mut found);
                assert!(found.len() <= cut.len(), "{cut}");
            }
        }
    }

    #[test]
    fn a_typed_value_has_its_last_text_and_its_last_number() {
        let mut json = Json::new(r#"{"S":"a","N":"1","N":"2","S":5}"#);
        let typed = json.typed();
        assert_eq!((typed.text, typed.number.as_deref()), (None, Some("2")));
        assert!(Json::new("\"12\"").typed().number.is_none());
    }
}
