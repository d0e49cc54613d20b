//! Protocol Buffers as they are on the wire: fields that borrow from the message, for the places
//! where generated code costs too much. A message that comes
//! in several pieces is their union, as everywhere in protobuf. Groups, gone for many years, are
//! malformed.

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sound protobuf message")]
pub struct Malformed;

/// The messages under one field number.
pub(crate) struct Messages<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Messages<'a> {
    pub(crate) const fn of(message: &'a [u8], number: u32) -> Self {
        Self {
            fields: Fields::of(message),
            number,
        }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.fields.next().transpose()? {
                Ok((number, value)) if number == self.number => return Some(value.bytes()),
                Ok(_) => {}
                Err(malformed) => return Some(Err(malformed)),
            }
        }
    }
}

/// The fields of one message, in the order of its bytes.
pub(crate) struct Fields<'a>(&'a [u8]);

/// What a field holds, as far as its bytes tell.
pub(crate) enum Value<'a> {
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
    /// A number, which nobody here reads.
    Number,
}

impl<'a> Value<'a> {
    pub(crate) const fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number => Err(Malformed),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// Returns the number of the next field, and its value; `None` behind the last one.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        // Nearly every field has a number below 16 and fewer than 128 bytes: one byte says each.
        if let [key @ 8..=0x7f, length @ 0..=0x7f, rest @ ..] = self.0
            && key & 7 == 2
            && let Some((value, rest)) = rest.split_at_checked(usize::from(*length))
        {
            self.0 = rest;
            return Ok(Some((u32::from(key >> 3), Value::Bytes(value))));
        }
        self.next_of_any_kind().map(Some)
    }

    /// Kept out of line, so that the common case is small enough to be inlined.
    #[cold]
    fn next_of_any_kind(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => self.varint().map(|_| Value::Number)?,
            1 => self.take(8).map(|_| Value::Number)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Number)?,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if i == 9 && *byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}
