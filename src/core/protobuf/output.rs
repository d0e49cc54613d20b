//! Writes messages field by field into one buffer, where a generated encoder would first build a tree
//! of owned texts.

/// A message that is being written. Fields stand in the order of the calls, empty ones included.
#[derive(Default)]
pub(crate) struct Output(Vec<u8>);

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

impl Output {
    /// Goes on behind what `bytes` holds.
    pub(crate) const fn behind(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn text(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.key_and_length(number, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// An enum, or an integer that is not negative.
    pub(crate) fn number(&mut self, number: u32, value: u64) {
        self.key(number, VARINT);
        self.varint(value);
    }

    /// A message within the message.
    pub(crate) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        // Its length comes in front of it and is known behind it. Most need one byte to say.
        self.key_and_length(number, 0);
        let start = self.0.len();
        write(self);
        let length = self.0.len() - start;
        if let Ok(short @ ..0x80) = u8::try_from(length) {
            self.0[start - 1] = short;
        } else {
            self.lengthen(start, length);
        }
    }

    /// Puts a length of several bytes in front of a message that was written already, where there
    /// is one byte for it: the others are written behind it and turned to the front.
    fn lengthen(&mut self, start: usize, length: usize) {
        let (end, length) = (self.0.len(), length as u64);
        self.0[start - 1] = length.to_le_bytes()[0] | 0x80;
        self.varint(length >> 7);
        let more = self.0.len() - end;
        self.0[start..].rotate_right(more);
    }

    /// Both take one byte nearly always, so they are written as one.
    fn key_and_length(&mut self, number: u32, length: usize) {
        let key = number << 3 | LENGTH_DELIMITED;
        if let (Ok(key @ ..0x80), Ok(length @ ..0x80)) = (u8::try_from(key), u8::try_from(length)) {
            self.0.extend_from_slice(&[key, length]);
        } else {
            self.varint(key.into());
            self.varint(length as u64);
        }
    }

    fn key(&mut self, number: u32, kind: u32) {
        self.varint(u64::from(number << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fields;
    use super::*;

    #[test]
    fn lengths_of_any_size_read_back() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 70_000] {
            let text = "x".repeat(length);
            let mut output = Output::behind(vec![0xff]);
            output.message(7, |outer| {
                outer.message(200, |inner| inner.text(1, &text));
                outer.number(2, u64::MAX);
            });
            let bytes = output.into_bytes();
            let mut fields = Fields::of(&bytes[1..]);
            let (number, outer) = fields.next().unwrap().unwrap();
            assert_eq!(number, 7);
            assert!(fields.next().unwrap().is_none());
            let mut fields = Fields::of(outer.bytes().unwrap());
            let (number, inner) = fields.next().unwrap().unwrap();
            assert_eq!(number, 200);
            let (_, value) = fields.next().unwrap().unwrap();
            assert_eq!(value.number(), Ok(u64::MAX));
            let (_, read) = Fields::of(inner.bytes().unwrap()).next().unwrap().unwrap();
            assert_eq!(read.text().unwrap(), text);
        }
    }
}
