//! Who may do what over gRPC.

use std::net::SocketAddr;

use prost::Message;
use tonic::Code;

use super::access::{APPROVE, Operators, approver};
use super::grpc::{of_subject, pb};
use super::{READ, WRITE, configured};

/// Calls a method with a message, and returns the code of a refusal; 0 for none.
pub(super) async fn code(to: SocketAddr, path: &str, message: &[u8], secret: Option<&str>) -> u16 {
    let client = reqwest::Client::builder().http2_prior_knowledge();
    let url = format!("http://{to}{path}");
    let code = code_by(&client.build().unwrap(), &url, message, secret).await;
    code.unwrap()
}

/// The same with another client; `None` if nothing is answered.
pub(super) async fn code_by(
    client: &reqwest::Client,
    url: &str,
    message: &[u8],
    secret: Option<&str>,
) -> Option<u16> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    let request = client
        .post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = match secret {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    };
    let response = request.body(body).send().await.ok()?;
    assert_eq!(response.status(), 200, "{url}");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let code = response.headers().get("grpc-status");
    Some(code.map_or(0, |code| code.to_str().unwrap().parse().unwrap()))
}

/// Each verb with a message, and the codes for the roles read, write and approve.
pub(super) fn verbs(issuer: &str) -> Vec<(&'static str, Vec<u8>, [Code; 3])> {
    use Code::{InvalidArgument, NotFound, Ok, PermissionDenied, Unimplemented};
    let order = Some(of_subject(issuer, "eve"));
    let absent = || "absent".to_owned();
    let question = Some(pb::explain_request::Question::Token("x".to_owned()));
    let decision = "0123456789abcdef".to_owned();
    let after = Some("x".to_owned());
    let watch = pb::WatchRequest {
        after,
        filter: None,
    };
    let revoke = pb::RevokeRequest {
        order: order.clone(),
        ..Default::default()
    };
    vec![
        ("Status", vec![], [Ok, Ok, Ok]),
        ("Replicas", vec![], [Ok, Ok, Ok]),
        ("List", vec![], [Ok, Ok, Ok]),
        (
            "Get",
            pb::GetRequest { id: absent() }.encode_to_vec(),
            [NotFound, NotFound, NotFound],
        ),
        ("Watch", vec![], [Ok, Ok, Ok]),
        (
            "Watch",
            watch.encode_to_vec(),
            [InvalidArgument, InvalidArgument, InvalidArgument],
        ),
        ("Decisions", vec![], [Ok, Ok, Ok]),
        (
            "GetDecision",
            pb::GetDecisionRequest { id: decision }.encode_to_vec(),
            [NotFound, NotFound, NotFound],
        ),
        (
            "Explain",
            pb::ExplainRequest { question }.encode_to_vec(),
            [Ok, Ok, Ok],
        ),
        (
            "Preview",
            pb::PreviewRequest { order }.encode_to_vec(),
            [Ok, Ok, Ok],
        ),
        ("Revoke", revoke.encode_to_vec(), [PermissionDenied, Ok, Ok]),
        (
            "Lift",
            pb::LiftRequest { id: absent() }.encode_to_vec(),
            [PermissionDenied, NotFound, NotFound],
        ),
        ("Approvals", vec![], [Ok, Ok, Ok]),
        (
            "Approve",
            pb::ApproveRequest { id: absent() }.encode_to_vec(),
            [PermissionDenied, PermissionDenied, NotFound],
        ),
        (
            "Withdraw",
            pb::WithdrawRequest { id: absent() }.encode_to_vec(),
            [PermissionDenied, NotFound, NotFound],
        ),
        (
            "Promote",
            pb::PromoteRequest { id: absent() }.encode_to_vec(),
            [PermissionDenied, NotFound, NotFound],
        ),
        ("Reload", vec![], [PermissionDenied, Ok, Ok]),
        (
            "Absent",
            vec![],
            [Unimplemented, Unimplemented, Unimplemented],
        ),
    ]
}

pub(super) const SERVICE: &str = "/portcullis.admin.v1.Admin/";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn every_verb_over_grpc_asks_for_its_role() {
    let world = configured(approver).start().await;
    let admin = world.portcullis.admin();
    let short = &WRITE[..WRITE.len() - 1];
    let wrong = [None, Some("wrong-secret-0123456789"), Some(short), Some("")];
    for (verb, message, [read, write, approve]) in verbs(&world.idp.issuer()) {
        let path = format!("{SERVICE}{verb}");
        for secret in wrong {
            let code = code(admin, &path, &message, secret).await;
            assert_eq!(code, Code::Unauthenticated as u16, "{verb} {secret:?}");
        }
        for (secret, expected) in [(READ, read), (WRITE, write), (APPROVE, approve)] {
            let code = code(admin, &path, &message, Some(secret)).await;
            assert_eq!(code, expected as u16, "{verb} {secret}");
        }
    }
    for secret in wrong {
        let code = code(admin, REFLECTION, &[], secret).await;
        assert_eq!(code, Code::Unauthenticated as u16);
    }
}

#[tokio::test]
async fn over_grpc_too_a_token_of_an_operator_has_the_role_of_its_scopes_while_it_is_good() {
    let operators = Operators::start().await;
    let admin = operators.world.portcullis.admin();
    let roles = ["read", "write", "approve"].map(|role| format!("portcullis:{role}"));
    for (verb, message, codes) in verbs(&operators.world.idp.issuer()) {
        let path = format!("{SERVICE}{verb}");
        for (status, token) in &operators.refused {
            let expected = match status {
                401 => Code::Unauthenticated,
                403 => Code::PermissionDenied,
                _ => Code::Unavailable,
            };
            let code = code(admin, &path, &message, Some(token)).await;
            assert_eq!(code, expected as u16, "{verb} {token}");
        }
        for (role, expected) in roles.iter().zip(codes) {
            let token = operators.token(role);
            let code = code(admin, &path, &message, Some(&token)).await;
            assert_eq!(code, expected as u16, "{verb} {role}");
        }
    }
    operators.assert_never_logged();
}
