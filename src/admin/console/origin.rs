//! Tells requests of the console's own page from those that other pages make a browser send.

use axum::extract::Request;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use crate::admin::refused::Refused;

/// The header that the page adds to each request. Another origin cannot add it without asking first, and
/// nobody answers that question. Its value `poll` says that nobody touched the page.
const HEADER: &str = "x-portcullis-console";

/// Refuses a request that did not come from the page. `SameSite=Strict` is not enough: other ports of the
/// host are the same site.
pub(in crate::admin) fn check(request: &Request) -> Result<(), Refused> {
    if request.headers().contains_key(HEADER) {
        return check_browser(request);
    }
    Err(foreign())
}

/// Refuses a request that a browser sends for a page of another origin. Other programs do not say where a
/// request comes from.
pub(in crate::admin) fn check_browser(request: &Request) -> Result<(), Refused> {
    let headers = request.headers();
    let is_fetched_here = headers.get_all("sec-fetch-site").iter();
    let mut is_fetched_here = is_fetched_here.map(|site| site == "same-origin");
    let mut origins = headers.get_all(ORIGIN).iter().map(|origin| {
        let origin = origin.to_str().ok()?.split_once("://");
        origin.map(|(_, authority)| authority)
    });
    let own = own_authority(request);
    let is_own =
        is_fetched_here.all(|is| is) && origins.all(|origin| origin.is_some() && origin == own);
    is_own.then_some(()).ok_or_else(foreign)
}

fn foreign() -> Refused {
    let why = "a browser may send requests of the console's own page alone; a proxy in front must pass on the \
               header Host";
    Refused::new(StatusCode::FORBIDDEN, why)
}

/// Returns whether a request is one that the page sends by itself.
pub(in crate::admin) fn is_poll(headers: &HeaderMap) -> bool {
    headers.get(HEADER).is_some_and(|value| value == "poll")
}

fn own_authority(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    authority.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_itself_passes() {
        let passes = |headers: &[(&str, &str)]| {
            let mut request = Request::get("/v1/status").header(HOST, "admin.example:9194");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            check(&request.body(axum::body::Body::empty()).unwrap()).is_ok()
        };
        let own = (HEADER, "1");
        for good in [
            &[own][..],
            &[own, ("sec-fetch-site", "same-origin")],
            &[own, ("origin", "https://admin.example:9194")],
        ] {
            assert!(passes(good), "{good:?}");
        }
        for bad in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[own, ("sec-fetch-site", "same-site")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[own, ("sec-fetch-site", "none")],
            &[own, ("origin", "null")],
            &[own, ("origin", "http://admin.example")],
            &[own, ("origin", "http://admin.example:3000")],
            &[own, ("origin", "http://evil.example:9194")],
            &[
                own,
                ("origin", "http://admin.example:9194"),
                ("origin", "http://evil.example"),
            ],
        ] {
            assert!(!passes(bad), "{bad:?}");
        }
    }
}
