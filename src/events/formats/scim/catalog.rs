//! What clients may ask about the service itself (RFC 7643 §5 to §7), and lists (RFC 7644 §3.4.2).

use serde_json::{Value, json};

use super::attribute::Attribute;
use super::user::SCHEMA;

/// Entries of a list that are returned at once, unless fewer are asked for.
pub(super) const PAGE: usize = 200;

pub(super) fn service_provider_config(base: &str) -> Value {
    let off = json!({ "supported": false });
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": PAGE },
        "changePassword": off,
        "sort": off,
        "etag": off,
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "A secret in the header Authorization",
            "description": "A fixed bearer token, or HTTP Basic, as the operator configured it",
            "primary": true,
        }],
        "meta": meta("ServiceProviderConfig", &format!("{base}/ServiceProviderConfig")),
    })
}

pub(super) fn resource_type(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "schema": SCHEMA,
        "meta": meta("ResourceType", &format!("{base}/ResourceTypes/User")),
    })
}

/// Describes what is kept of a user.
pub(super) fn schema(base: &str, kept: &[Attribute]) -> Value {
    let own = kept
        .iter()
        .filter(|attribute| !attribute.as_str().contains(':'));
    let mut attributes: Vec<Value> = Vec::new();
    for attribute in own {
        let name = attribute.as_str();
        let (name, part) = name.split_once('.').unwrap_or((name, ""));
        let is_complex = attribute.is_plural() || !part.is_empty();
        let part = if attribute.is_plural() { "value" } else { part };
        let known = attributes.iter_mut().find(|known| known["name"] == name);
        if let Some(parts) = known.and_then(|known| known["subAttributes"].as_array_mut()) {
            parts.push(described(part, false));
            continue;
        }
        let mut described = described(name, attribute.is_plural());
        if is_complex {
            described["type"] = "complex".into();
            described["subAttributes"] = json!([self::described(part, false)]);
        }
        if name == Attribute::USER_NAME {
            (described["required"], described["uniqueness"]) = (true.into(), "server".into());
        }
        attributes.push(described);
    }
    let mut active = described("active", false);
    active["type"] = "boolean".into();
    attributes.push(active);
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": SCHEMA,
        "name": "User",
        "description": "What is kept of a user",
        "attributes": attributes,
        "meta": meta("Schema", &format!("{base}/Schemas/{SCHEMA}")),
    })
}

fn described(name: &str, is_plural: bool) -> Value {
    json!({
        "name": name,
        "type": "string",
        "multiValued": is_plural,
        "required": false,
        "caseExact": name == Attribute::EXTERNAL_ID,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    })
}

fn meta(kind: &str, location: &str) -> Value {
    json!({ "resourceType": kind, "location": location })
}

/// Returns a list, of which `resources` are the entries from number `start` on.
pub(super) fn list(total: usize, start: usize, resources: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}
