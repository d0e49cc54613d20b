use super::*;

#[test]
fn every_mistake_is_reported_with_its_line() {
    let mistakes = "\
grace: 10m
events: a|b
ignore: [x]
rules:
  - target: {}
    cause: everyone
  - when: { type: x }
    target: { sub.name: a, sid: { value: '' } }
  - when: { type: x }
    cause: y
    lift: true
    cut_off: none
    target: { sub: a }
  - when: { a..b: x }
    cause: z
    target: { sub: { part: { path: a, pattern: '(' } } }
  - present: [a]
    cause: z
    target: { sub: { part: { path: a, pattern: 'a' } } }";
    let report = parse(mistakes).unwrap_err();
    for (line, expected) in [
        (12, "grace: must be at most 5m"),
        (13, "events: must be one path"),
        (16, "rules[0].target: means every token of the issuer"),
        (18, "rules[1].cause: is missing"),
        (
            19,
            "rules[1].target.sub.name: the claim \"sub.name\" can never exist",
        ),
        (19, "rules[1].target.sid: must be a text of 1 to 256"),
        (22, "rules[2].lift: no other rule has this cause"),
        (23, "rules[2].cut_off: a lift has no cut-off"),
        (25, "the path \"a..b\" has an empty part"),
        (27, "the pattern cannot be read"),
        (30, "the pattern must have exactly one group"),
    ] {
        let is_it = |text: &str| text.starts_with(&format!("f:{line}:")) && text.contains(expected);
        assert!(report.lines().any(is_it), "{line}: {expected}\n{report}");
    }
    let untyped = "ignore: [x]\nrules:\n  - { present: [u], cause: c, target: { sub: u } }";
    assert!(
        parse(untyped)
            .unwrap_err()
            .contains("ignore: say in `type`")
    );
    assert!(
        parse("rules: []")
            .unwrap_err()
            .contains("rules: give at least one rule")
    );
}

#[test]
fn a_signature_without_a_time_is_enough_where_events_bound_their_replay() {
    let is_idempotent = |options: &str| parse(options).unwrap().is_idempotent();
    let rules = "rules:\n  - { present: [u], cause: c, target: { sub: u }";
    let time = "time: { path: at, unit: s }";
    assert!(is_idempotent(&format!("id: id\n{time}\n{rules} }}")));
    assert!(is_idempotent(&format!(
        "id: id\n{time}\n{rules}, cut_off: none }}"
    )));
    assert!(!is_idempotent(&format!(
        "id: id\n{time}\n{rules}, cut_off: receipt }}"
    )));
    assert!(!is_idempotent(&format!("{time}\n{rules} }}")));
    assert!(!is_idempotent(&format!("id: id\n{rules} }}")));
}
