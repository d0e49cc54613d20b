//! "Did you mean": the nearest known name.

/// Returns the end of a message about an unknown name: the nearest known one, or all of them.
pub(super) fn suggest(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => "; nothing is known here".to_owned(),
        None => format!("; known here: {}", known.join(", ")),
    }
}

/// Returns the known name with the smallest edit distance, if that is small for its length. A name
/// that begins like a known one counts as near: `basic_auth` and `basic`.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // A name that is far too long is no slip of a finger, and measuring it takes its time.
    if name.len() > 256 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let name = plain(name);
    let measured = known.iter().map(|one| {
        let other = plain(one);
        let allowed = 1 + other.len().min(name.len()) / 4;
        (strsim::osa_distance(&name, &other), allowed, *one)
    });
    let near = measured
        .min_by_key(|(distance, ..)| *distance)
        .filter(|(distance, allowed, _)| distance <= allowed)
        .map(|(.., one)| one);
    near.or_else(|| {
        let begins = |known: &&&str| {
            let known = plain(known);
            known.len().min(name.len()) >= 3
                && (name.starts_with(&known) || known.starts_with(&name))
        };
        known.iter().find(begins).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_settings_get_a_suggestion_and_unrelated_names_do_not() {
        let known = ["issuer", "audiences", "algorithms", "jwks", "jti"];
        assert_eq!(nearest("audience", &known), Some("audiences"));
        assert_eq!(nearest("isuer", &known), Some("issuer"));
        assert_eq!(nearest("Jwks", &known), Some("jwks"));
        assert_eq!(nearest("jwks_uri", &known), Some("jwks"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest(&"a".repeat(10_000), &known), None);
    }
}
