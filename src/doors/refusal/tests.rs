use super::*;

const BARE: Option<&str> = Some("Bearer realm=\"portcullis\"");
const INVALID: Option<&str> = Some("Bearer realm=\"portcullis\", error=\"invalid_token\"");
const SCOPE: Option<&str> = Some("Bearer realm=\"portcullis\", error=\"insufficient_scope\"");
const STEP_UP: Option<&str> =
    Some("Bearer realm=\"portcullis\", error=\"insufficient_user_authentication\"");
const REQUEST: Option<&str> = Some("Bearer realm=\"portcullis\", error=\"invalid_request\"");

/// Every reason: whose fault it is, the status on every door, the gRPC status, the challenge.
/// README and `docs/reasons.md` say the same.
const TABLE: [(Reason, Fault, u16, tonic::Code, Option<&str>); Reason::ALL.len()] = {
    use Fault::{Portcullis, Request, Rights, Token};
    use Reason::*;
    use tonic::Code::{InvalidArgument, PermissionDenied, Unauthenticated, Unavailable};
    [
        (MissingToken, Request, 401, Unauthenticated, BARE),
        (SeveralTokens, Request, 400, InvalidArgument, REQUEST),
        (TokenTooLarge, Request, 431, InvalidArgument, None),
        (MalformedToken, Token, 401, Unauthenticated, INVALID),
        (UnknownIssuer, Token, 401, Unauthenticated, INVALID),
        (UnknownKey, Token, 401, Unauthenticated, INVALID),
        (UnsupportedAlgorithm, Token, 401, Unauthenticated, INVALID),
        (BadSignature, Token, 401, Unauthenticated, INVALID),
        (Expired, Token, 401, Unauthenticated, INVALID),
        (NotYetValid, Token, 401, Unauthenticated, INVALID),
        (WrongAudience, Token, 401, Unauthenticated, INVALID),
        (WrongType, Token, 401, Unauthenticated, INVALID),
        (LifetimeExceeded, Token, 401, Unauthenticated, INVALID),
        (MissingClaim, Token, 401, Unauthenticated, INVALID),
        (BoundToken, Token, 401, Unauthenticated, INVALID),
        (Revoked, Token, 401, Unauthenticated, INVALID),
        (TokenTooOld, Token, 401, Unauthenticated, INVALID),
        (
            InsufficientUserAuthentication,
            Token,
            401,
            Unauthenticated,
            STEP_UP,
        ),
        (InsufficientScope, Rights, 403, PermissionDenied, SCOPE),
        (Forbidden, Rights, 403, PermissionDenied, SCOPE),
        (SpoofedIdentity, Request, 400, InvalidArgument, None),
        (UnreadableRequest, Request, 400, InvalidArgument, None),
        (AmbiguousRequest, Request, 400, InvalidArgument, None),
        (TooLarge, Request, 413, InvalidArgument, None),
        (IdentityTooLong, Portcullis, 503, Unavailable, None),
        (UnknownPolicy, Portcullis, 503, Unavailable, None),
        (ConditionFailed, Portcullis, 503, Unavailable, None),
        (NotReady, Portcullis, 503, Unavailable, None),
        (KeysUnavailable, Portcullis, 503, Unavailable, None),
        (Overloaded, Portcullis, 503, Unavailable, None),
        (ClockDisagreement, Portcullis, 503, Unavailable, None),
        (Stale, Portcullis, 503, Unavailable, None),
    ]
};

#[test]
fn every_reason_has_its_status_and_somebody_whose_fault_it_is() {
    let challenge = Challenge::new(&Config::default());
    assert_eq!(TABLE.map(|(reason, ..)| reason), Reason::ALL);
    for (reason, fault, status, grpc, expected) in TABLE {
        let refusal = Refusal::of(reason);
        let headers = challenge.headers(refusal, None);
        let found = headers
            .iter()
            .find(|(name, _)| name == header::WWW_AUTHENTICATE);
        let found = found.map(|(_, value)| value.to_str().unwrap());
        assert_eq!(reason.fault(), fault, "{reason}");
        assert_eq!(refusal.status.as_u16(), status, "{reason}");
        assert_eq!(refusal.grpc, grpc, "{reason}");
        assert_eq!(found, expected, "{reason}");
        // Only what is known to be wrong with the token may log a user out.
        let may_be_401 = fault == Fault::Token || reason == Reason::MissingToken;
        assert_eq!(status == 401, may_be_401, "{reason}");
        assert!(!refusal.body("0").contains(reason.as_str()), "{reason}");
        assert!(headers.contains(&(header::CACHE_CONTROL, "no-store".parse().unwrap())));
        let retry = headers.iter().any(|(name, _)| name == header::RETRY_AFTER);
        assert_eq!(retry, status == 503, "{reason}");
    }
}

#[test]
fn the_documented_table_has_every_reason_with_its_status() {
    let page = include_str!("../../../docs/reasons.md");
    for (reason, fault, status, ..) in TABLE {
        let fault = format!("{fault:?}").to_lowercase();
        let row = format!("| `{reason}` | {status} | {fault} |");
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn a_challenge_names_the_resource_metadata_when_configured() {
    let url = "https://api.example.com/.well-known/oauth-protected-resource";
    let config = Config {
        resource_metadata: Some(url.to_owned()),
        ..Config::default()
    };
    let challenge = Challenge::new(&config);
    for (reason, _, status, _, plain) in TABLE {
        let headers = challenge.headers(Refusal::of(reason), None);
        let found = headers
            .iter()
            .find(|(name, _)| name == header::WWW_AUTHENTICATE);
        let found = found.map(|(_, value)| value.to_str().unwrap().to_owned());
        let expected = plain.map(|text| format!("{text}, resource_metadata=\"{url}\""));
        assert_eq!(found, expected, "{reason} {status}");
    }
}

#[test]
fn the_body_is_a_problem_document() {
    let body = Refusal::of(Reason::Revoked).body("0123456789abcdef");
    let read: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        read,
        serde_json::json!({
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
            "instance": "urn:portcullis:decision:0123456789abcdef",
            "decision_id": "0123456789abcdef",
        })
    );
}
