//! The endpoints themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::clients::Client;
use super::config::{Revocable, SOURCE};
use super::form::Form;
use super::refused::{Refused, json_answer};
use crate::audit::Sampled;
use crate::core::reason::{Fault, Reason};
use crate::core::token::Token;
use crate::gate::Decision;
use crate::net::Seat;
use crate::revocation::{Action, Draft, Target};
use crate::verify::Claims;

/// `POST /oauth2/revoke` (RFC 7009). Answers 200 once the revocation is durable, and for a token that no
/// door will ever let pass.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(seat): Extension<Arc<Seat>>,
    request: Request,
) -> Result<Response, Refused> {
    let admitted = admitted(&api, request, &seat).await;
    let line = |outcome| json!({ "action": "revoke", "peer": seat.peer(), "outcome": outcome });
    let (client, form) = match admitted {
        Ok(admitted) => admitted,
        Err(refused) => {
            let line = line(refused.error());
            api.audit.sample(Sampled::Strangers, "oauth", || line);
            return Err(refused);
        }
    };
    let revoked = revoke_as(&api, &client, &form).await;
    let mut line = line(match &revoked {
        Ok(Some(_)) => "revoked",
        Ok(None) => "refused already",
        Err(refused) => refused.error(),
    });
    line["client"] = client.id.as_str().into();
    let id = revoked.as_ref().ok().and_then(Clone::clone);
    // Anybody can be a public client. What did nothing must not push out what operators did.
    let is_strangers = id.is_none() && !client.is_confidential();
    line["id"] = id.into();
    if is_strangers {
        api.audit.sample(Sampled::Strangers, "oauth", || line);
    } else {
        api.audit.write("oauth", || line).await;
    }
    revoked.map(|_| crate::net::uncached(StatusCode::OK.into_response()))
}

/// Revokes the token of a client's request. Returns the id of the record; `None` if no door lets the
/// token pass anyway.
async fn revoke_as(api: &Api, client: &Client, form: &Form) -> Result<Option<String>, Refused> {
    if client.revoke == Revocable::None {
        return Err(Refused::new(
            "unauthorized_client",
            "this client may not revoke tokens",
        ));
    }
    let token = form.token()?;
    let gate = Arc::clone(&api.gate.load());
    if !gate.readiness.knows() {
        return Err(unknown(Reason::NotReady));
    }
    let verified = match gate.verifier.verify(Token::new(token)).await {
        Ok(verified) => verified,
        Err(rejection) => return nothing_to_revoke(rejection.reason, form).map(|()| None),
    };
    let claims = &verified.claims;
    if client.revoke == Revocable::Own && claims.client.as_deref() != Some(&*client.id) {
        return Err(Refused::new(
            "invalid_grant",
            "the token was issued to another client",
        ));
    }
    let records = api
        .writer
        .record_whole(vec![draft(api, client, claims)])
        .await?;
    if records.is_empty() {
        return Err(Refused::unavailable("nothing was recorded; send it again"));
    }
    tracing::info!(
        client = client.id,
        id = records[0].id,
        "a client revoked a token"
    );
    Ok(Some(records[0].id.clone()))
}

/// Returns what refuses exactly this token.
fn draft(api: &Api, client: &Client, claims: &Claims) -> Draft {
    let (claim, value) = claims.own_name();
    let target = Target {
        issuer: claims.issuer.to_string(),
        matches: BTreeMap::from([(claim.to_owned(), value)]),
    };
    Draft {
        id: format!("{:032x}", rand::random::<u128>()),
        target,
        action: Action::Revoke,
        issued_at_or_before: None,
        expires_at_or_before: None,
        occurred_at: api.clock.now(),
        source: SOURCE.to_owned(),
        cause: format!("revoked by {}", client.id),
    }
}

/// Answers for a token that is refused already. RFC 7009 §2.2: an invalid token is no error. But a token
/// that may become good, by time, by a new key or by another configuration, must not be taken for revoked.
fn nothing_to_revoke(reason: Reason, form: &Form) -> Result<(), Refused> {
    let is_foreign = matches!(reason, Reason::MalformedToken | Reason::UnknownIssuer);
    match reason.fault() {
        _ if is_foreign && form.get("token_type_hint") == Some("refresh_token") => {
            let why = "refresh tokens are revoked at the authorization server";
            Err(Refused::new("unsupported_token_type", why))
        }
        Fault::Portcullis => Err(unknown(reason)),
        Fault::Request => Err(Refused::invalid_request("the token is too large")),
        Fault::Token | Fault::Rights => match reason {
            Reason::MalformedToken | Reason::BadSignature | Reason::Expired => Ok(()),
            Reason::NotYetValid | Reason::UnknownKey => Err(unknown(reason)),
            _ => {
                let why = "no door accepts such a token as Portcullis is configured, so it was not revoked";
                Err(Refused::new("unsupported_token_type", why))
            }
        },
    }
}

/// `POST /oauth2/introspect` (RFC 7662). It asks the gate, so it says what a door would do. What is not
/// known is 503 and never `active: false`.
pub(super) async fn introspect(
    State(api): State<Arc<Api>>,
    Extension(seat): Extension<Arc<Seat>>,
    request: Request,
) -> Result<Response, Refused> {
    let (client, form) = admitted(&api, request, &seat).await?;
    if !client.introspect || !client.is_confidential() {
        return Err(Refused::new(
            "unauthorized_client",
            "this client may not introspect tokens",
        ));
    }
    let token = form.token()?;
    let gate = Arc::clone(&api.gate.load());
    let answer = match gate.check_token(Token::new(token)).await {
        Decision::Permit(permit) => active(token, &permit.verified().claims),
        Decision::Bypass(_) => return Err(unknown(Reason::NotReady)),
        Decision::Deny(denial) => match denial.reason.fault() {
            Fault::Portcullis => return Err(unknown(denial.reason)),
            Fault::Request => return Err(Refused::invalid_request("the token is too large")),
            Fault::Token | Fault::Rights => json!({ "active": false }),
        },
    };
    Ok(json_answer(StatusCode::OK, &answer))
}

/// Returns the claims of a good token, with the members of RFC 7662 §2.2 that it may lack.
fn active(token: &str, claims: &Claims) -> Value {
    let payload = token.split('.').nth(1);
    let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let payload = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    let mut members: Map<String, Value> = payload.unwrap_or_default();
    members.insert("active".to_owned(), true.into());
    members.insert("token_type".to_owned(), "Bearer".into());
    if let Some(client) = &claims.client {
        members.insert("client_id".to_owned(), (**client).into());
    }
    members.into()
}

/// Reads the parameters of a request and authenticates its client.
async fn admitted(
    api: &Api,
    request: Request,
    seat: &Seat,
) -> Result<(Arc<Client>, Form), Refused> {
    let (head, body) = request.into_parts();
    let form = Form::read(&head.headers, body).await?;
    let now = (&api.clock, &api.used);
    let client = api.clients.load().admit(&head.headers, &form, now)?;
    if client.is_confidential() {
        seat.settle();
    }
    Ok((client, form))
}

fn unknown(reason: Reason) -> Refused {
    Refused::unavailable(format!(
        "the token cannot be judged now: {reason}; try again"
    ))
}
