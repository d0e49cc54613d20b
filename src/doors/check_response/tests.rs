use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::google::protobuf::BoolValue;
use serde_json::json;

use super::*;
use crate::core::request::{Headers, Request};
use crate::core::token::Sources;
use crate::doors::{Answers, Config};
use crate::gate::{Decision, testing};

fn config(yaml: &str) -> Config {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The answer to a request with these headers, as the upstream's Envoy reads it.
fn answer(answers: &Answers, decision: &Decision, headers: Headers<'_>) -> CheckResponse {
    let request = Request {
        method: "GET",
        target: "/",
        headers,
        ..Request::unread()
    };
    let mut message = Vec::new();
    answers.reply(decision, None, &request).write(&mut message);
    CheckResponse::decode(&*message).unwrap()
}

fn encoded(answers: &Answers, decision: &Decision) -> CheckResponse {
    answer(answers, decision, Headers::new())
}

fn ok(response: &CheckResponse) -> &OkHttpResponse {
    match response.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(ok) => ok,
        other => panic!("{other:?}"),
    }
}

fn denied(response: &CheckResponse) -> &DeniedHttpResponse {
    match response.http_response.as_ref().unwrap() {
        HttpResponse::DeniedResponse(denied) => denied,
        other => panic!("{other:?}"),
    }
}

fn headers(options: &[HeaderValueOption]) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = options
        .iter()
        .map(|option| {
            #[expect(deprecated, reason = "older Envoys read only this field")]
            let append = option.append;
            assert_eq!(append, Some(BoolValue { value: false }));
            assert_eq!(
                option.append_action(),
                HeaderAppendAction::OverwriteIfExistsOrAdd
            );
            let header = option.header.as_ref().unwrap();
            (header.key.as_str(), header.value.as_str())
        })
        .collect();
    headers.sort_unstable();
    headers
}

/// The fields of `portcullis`, as JSON.
fn metadata(response: &CheckResponse) -> serde_json::Value {
    let outer = &response.dynamic_metadata.as_ref().unwrap().fields;
    assert_eq!(outer.len(), 1);
    let Some(Kind::StructValue(inner)) = &outer["portcullis"].kind else {
        panic!("no struct");
    };
    let fields = inner.fields.iter().map(|(name, value)| {
        let value = match value.kind.as_ref().unwrap() {
            Kind::StringValue(text) => json!(text),
            Kind::NumberValue(number) => json!(number),
            other => panic!("{other:?}"),
        };
        (name.clone(), value)
    });
    fields.collect::<serde_json::Map<_, _>>().into()
}

fn id(decision: &Decision) -> String {
    match decision {
        Decision::Permit(permit) => permit.id,
        Decision::Bypass(bypass) => bypass.id,
        Decision::Deny(denial) => denial.id,
    }
    .to_string()
}

fn full() -> serde_json::Value {
    json!({
        "iss": "https://id.example.com", "sub": "alice", "client_id": "shop", "jti": "t-1",
    })
}

#[test]
fn a_permit_sets_every_header_and_tells_who_it_is() {
    let answers = Answers::new(&Config::default(), Sources::default());
    let decision = testing::permit(testing::verified(&full()));
    let response = encoded(&answers, &decision);
    assert_eq!(response.status.as_ref().unwrap().code, 0);
    assert_eq!(
        headers(&ok(&response).headers),
        [
            ("x-portcullis-client", "shop"),
            ("x-portcullis-issuer", "https://id.example.com"),
            ("x-portcullis-subject", "alice"),
        ]
    );
    let removed = &ok(&response).headers_to_remove;
    assert!(!removed.contains(&"x-portcullis-subject".to_owned()));
    assert!(!removed.contains(&"authorization".to_owned()));
    assert_eq!(
        metadata(&response),
        json!({
            "outcome": "permit",
            "subject": "alice",
            "issuer": "https://id.example.com",
            "client": "shop",
            "token_id": "t-1",
            "expires_at": 1_700_003_600.0,
            "decision_id": id(&decision),
        })
    );
}

#[test]
fn headers_of_absent_claims_are_removed_and_no_header_is_in_both_lists() {
    let answers = Answers::new(&config("drop_token: true"), Sources::default());
    let decision = testing::permit(testing::verified(
        &json!({ "iss": "https://id.example.com" }),
    ));
    let response = encoded(&answers, &decision);
    let set = headers(&ok(&response).headers);
    assert_eq!(set, [("x-portcullis-issuer", "https://id.example.com")]);
    let removed = &ok(&response).headers_to_remove;
    for name in [
        "x-portcullis-subject",
        "x-portcullis-client",
        "authorization",
    ] {
        assert!(removed.iter().any(|held| held == name), "{name}");
    }
    assert!(
        set.iter()
            .all(|(name, _)| !removed.iter().any(|held| held == name))
    );
}

#[test]
fn a_bypass_removes_every_identity_header_and_keeps_authorization() {
    let answers = Answers::new(&config("drop_token: true"), Sources::default());
    let decision = testing::bypass();
    let response = encoded(&answers, &decision);
    assert!(ok(&response).headers.is_empty());
    let removed = &ok(&response).headers_to_remove;
    for name in [
        "x-portcullis-subject",
        "x-portcullis-issuer",
        "x-portcullis-client",
    ] {
        assert!(removed.iter().any(|held| held == name), "{name}");
    }
    assert!(!removed.iter().any(|held| held == "authorization"));
    assert_eq!(
        metadata(&response),
        json!({ "outcome": "bypass", "decision_id": id(&decision) })
    );
}

/// The pieces are united also where the answer was kept for a repeat token.
#[test]
fn look_alikes_that_a_client_sent_are_removed_besides() {
    let answers = Answers::new(&Config::default(), Sources::default());
    let verified = testing::verified(&full());
    let spoofed = || {
        let mut headers = Headers::new();
        for name in [
            "x-portcullis-subject",
            "X-PORTCULLIS-ISSUER",
            "x.portcullis!subject",
            "accept",
            "x_portcullis_client",
        ] {
            headers.push(name, b"root");
        }
        headers
    };
    let permit = || testing::permit(Arc::clone(&verified));
    let plain_removes: [&[&str]; 2] = [
        &[],
        &[
            "x-portcullis-client",
            "x-portcullis-issuer",
            "x-portcullis-subject",
        ],
    ];
    for decision in [permit(), permit(), permit(), testing::bypass()] {
        let is_bypass = matches!(decision, Decision::Bypass(_));
        let mut expected = encoded(&answers, &decision);
        assert_eq!(
            ok(&expected).headers_to_remove,
            plain_removes[usize::from(is_bypass)]
        );
        let Some(HttpResponse::OkResponse(ok)) = &mut expected.http_response else {
            panic!("it passes");
        };
        let removed = ["x.portcullis!subject", "x_portcullis_client"];
        ok.headers_to_remove.extend(removed.map(str::to_owned));
        assert_eq!(answer(&answers, &decision, spoofed()), expected);
    }
    let denial = testing::deny(Reason::Revoked);
    assert_eq!(
        answer(&answers, &denial, spoofed()),
        encoded(&answers, &denial)
    );
}

#[test]
fn every_reason_has_its_refusal() {
    let answers = Answers::new(&Config::default(), Sources::default());
    for reason in Reason::ALL {
        let decision = testing::deny(reason);
        let response = encoded(&answers, &decision);
        let refusal = Refusal::of(reason);
        assert_eq!(
            response.status.as_ref().unwrap().code,
            i32::from(refusal.grpc)
        );
        assert_ne!(response.status.as_ref().unwrap().code, 0);
        let denied = denied(&response);
        assert_eq!(
            denied.status.as_ref().unwrap().code,
            i32::from(refusal.status.as_u16())
        );
        let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
        assert_eq!(body["decision_id"], id(&decision));
        assert_eq!(body["status"], refusal.status.as_u16());
        let headers = headers(&denied.headers);
        assert!(headers.contains(&("content-type", "application/problem+json")));
        assert!(headers.contains(&("cache-control", "no-store")));
        assert_eq!(
            metadata(&response),
            json!({
                "outcome": "deny",
                "reason": reason.as_str(),
                "decision_id": id(&decision),
            })
        );
    }
}

#[test]
fn a_grpc_client_gets_a_message_and_no_content_type() {
    let answers = Answers::new(&Config::default(), Sources::default());
    for reason in Reason::ALL {
        let decision = testing::deny(reason);
        let mut grpc = Headers::new();
        grpc.push("content-type", b"application/grpc");
        let response = answer(&answers, &decision, grpc);
        let denied = denied(&response);
        assert!(
            headers(&denied.headers)
                .iter()
                .all(|(name, _)| *name != "content-type")
        );
        assert!(denied.body.contains(&id(&decision)), "{}", denied.body);
        assert!(!denied.body.contains('{'), "{}", denied.body);
    }
}

#[test]
fn a_repeat_token_is_answered_from_its_memo_with_a_new_id() {
    let payloads = [
        full(),
        json!({ "iss": "https://id.example.com" }),
        json!({ "iss": "https://id.example.com", "jti": "x".repeat(20_000) }),
    ];
    let configs = ["{}", "metadata: false", "headers: {}"];
    for answers in configs.map(|yaml| Answers::new(&config(yaml), Sources::default())) {
        for payload in &payloads {
            let verified = testing::verified(payload);
            let mut seen = Vec::new();
            for _ in 0..3 {
                let decision = testing::permit(Arc::clone(&verified));
                let mut answer = encoded(&answers, &decision);
                if let Some(metadata) = &mut answer.dynamic_metadata {
                    let portcullis = metadata.fields.get_mut("portcullis").unwrap();
                    let Some(Kind::StructValue(inner)) = &mut portcullis.kind else {
                        panic!("no struct");
                    };
                    let held = inner.fields.remove("decision_id");
                    assert_eq!(held, Some(string(&id(&decision))));
                }
                seen.push((answer, id(&decision)));
            }
            assert!(seen.iter().all(|(answer, _)| *answer == seen[0].0));
            assert!(seen[0].1 != seen[1].1 && seen[1].1 != seen[2].1);
            let kept = verified.memo.recall::<Kept>(|| panic!("it was kept"));
            assert!(kept.is_some());
        }
    }
}

#[test]
fn a_memo_of_another_configuration_is_not_used() {
    let before = Answers::new(&Config::default(), Sources::default());
    let after = Answers::new(
        &config("{ headers: { x-user: sub }, metadata: false }"),
        Sources::default(),
    );
    let verified = testing::verified(&full());
    for _ in 0..2 {
        let _ = encoded(&before, &testing::permit(Arc::clone(&verified)));
    }
    let response = encoded(&after, &testing::permit(Arc::clone(&verified)));
    assert_eq!(headers(&ok(&response).headers), [("x-user", "alice")]);
    assert_eq!(response.dynamic_metadata, None);
    let again = encoded(&before, &testing::permit(verified));
    assert_eq!(headers(&ok(&again).headers).len(), 3);
}

#[test]
fn a_claim_cannot_break_out_of_its_header() {
    let answers = Answers::new(&Config::default(), Sources::default());
    let payload = json!({
        "iss": "https://id.example.com",
        "sub": "eve\r\nx-portcullis-role: admin",
        "client_id": "a,b\u{0}",
    });
    let decision = testing::permit(testing::verified(&payload));
    let response = encoded(&answers, &decision);
    assert_eq!(
        headers(&ok(&response).headers),
        [
            ("x-portcullis-client", "a%2Cb%00"),
            ("x-portcullis-issuer", "https://id.example.com"),
            ("x-portcullis-subject", "eve%0D%0Ax-portcullis-role: admin"),
        ]
    );
}
