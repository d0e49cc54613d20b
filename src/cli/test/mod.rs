//! `portcullis test`.

mod bench;
mod cases;
mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use http::HeaderMap;

use super::common::blocking;
use super::{ConfigFile, FAILED, complain, print};
use crate::config::{self, Config};
use crate::core::request::{Headers, NamedPolicy, Request};
use crate::doors::{Answers, forward_auth};
use crate::gate::Decision;
use crate::policy::Rule;
use bench::Bench;
use cases::{Case, Described, Expected, File};
use report::{Outcome, Run};

const AFTER: &str = "\
Decides about each request of the files as `serve` does, with tokens that are made for the test, and
compares. Connects to nothing: the keys of the issuers are replaced by one that lives as long as the
command. Revocations are those that a case lists. docs/policy.md explains the files.

Examples:
  portcullis test --config portcullis.yaml cases.yaml
  portcullis test --config portcullis.yaml --output junit cases.yaml > report.xml

Exit codes: 0 every case holds, 1 a case fails or a file is invalid, 2 the command line is wrong.";

/// Check that requests get the decisions that files of cases expect
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Test {
    #[command(flatten)]
    config: ConfigFile,

    /// How to print the results
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    /// Fail if a policy is reached by no case
    #[arg(long)]
    all_policies: bool,

    /// Files of cases
    #[arg(value_name = "CASES", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Test Anything Protocol
    Tap,
    /// The XML of `JUnit`
    Junit,
}

impl Test {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let mut files = Vec::new();
        for path in &self.files {
            match config::load_as::<File>(path) {
                Ok(file) => files.push((path.display().to_string(), file.cases)),
                Err(report) => return complain(&report.to_string()),
            }
        }
        let run = match blocking(run(&config, files)) {
            Ok(run) => run,
            Err(error) => return complain(&format!("portcullis: {error}")),
        };
        let written = print(&match self.output {
            Format::Text => run.text(),
            Format::Tap => run.tap(),
            Format::Junit => run.junit(),
        });
        let misses = self.all_policies && !run.unreached.is_empty();
        if run.failed() > 0 || misses {
            return FAILED;
        }
        written
    }
}

async fn run(config: &Config, files: Vec<(String, Vec<Case>)>) -> Result<Run, String> {
    let bench = Bench::new(config).await?;
    let trial = Trial {
        answers: Answers::with(
            &config.answer,
            &config.routes(),
            crate::core::token::Sources::new(&config.token),
        ),
        bench,
    };
    let (mut outcomes, mut reached) = (Vec::new(), BTreeSet::new());
    for (file, cases) in files {
        for case in cases {
            let found = trial.decide(&case).await;
            let differences = match found {
                Ok(found) => {
                    let differences = found.differences(&case.expect);
                    reached.extend(found.policy);
                    reached.extend(found.in_shadow);
                    differences
                }
                Err(error) => vec![error],
            };
            outcomes.push(Outcome {
                file: file.clone(),
                name: case.name,
                differences,
            });
        }
    }
    let policies: Vec<&str> = config.policy.rules().map(Rule::name).collect();
    let unreached = policies.iter().filter(|name| !reached.contains(**name));
    Ok(Run {
        unreached: unreached.map(|name| (*name).to_owned()).collect(),
        policies: policies.len(),
        outcomes,
    })
}

struct Trial<'c> {
    bench: Bench<'c>,
    answers: Answers,
}

/// What happened to a request.
struct Found {
    decision: &'static str,
    reason: &'static str,
    /// What was expected of the token, and what it had.
    detail: String,
    status: u16,
    policy: Option<String>,
    /// The policy that would count if none were in shadow.
    in_shadow: Option<String>,
    /// Why it would refuse the request.
    would_refuse: &'static str,
    headers: HeaderMap,
}

impl Trial<'_> {
    async fn decide(&self, case: &Case) -> Result<Found, String> {
        let token = case.claims.as_ref().map(|claims| self.bench.token(claims));
        let (token, issuer) = token.transpose()?.unzip();
        let issuer = issuer.unwrap_or_default();
        let gate = self.bench.gate(&issuer, &case.revoked)?;
        let bearer = token.map(|token| format!("Bearer {token}"));
        let request = request(&case.request, bearer.as_deref());
        let decision = gate.check(&request).await;
        let response = forward_auth::response(&self.answers, &request, &decision);
        let selected = gate.policy.select(&request).ok();
        let in_shadow =
            selected.and_then(|rule| gate.policy.select_in_shadow(&request, rule)?.ok());
        let refused = decision.refused_in_shadow();
        let (name, reason, detail) = match &decision {
            Decision::Permit(_) => ("permit", "", None),
            Decision::Bypass(_) => ("bypass", "", None),
            Decision::Deny(denial) => ("deny", denial.reason.as_str(), denial.detail.as_deref()),
        };
        let detail = detail.map(|detail| {
            let found = detail.found().map(|found| format!(", found {found}"));
            format!(
                " (expected {}{})",
                detail.expected(),
                found.unwrap_or_default()
            )
        });
        Ok(Found {
            decision: name,
            reason,
            detail: detail.unwrap_or_default(),
            status: response.status().as_u16(),
            policy: selected.map(|rule| rule.name().to_owned()),
            in_shadow: in_shadow.map(|rule| rule.name().to_owned()),
            would_refuse: refused.map_or("nothing", |denial| denial.reason.as_str()),
            headers: response.headers().clone(),
        })
    }
}

fn request<'r>(described: &'r Described, bearer: Option<&'r str>) -> Request<'r> {
    let mut headers = Headers::new();
    for (name, value) in &described.headers {
        headers.push(name, value.as_bytes());
    }
    if let Some(bearer) = bearer {
        headers.push("authorization", bearer.as_bytes());
    }
    let policy = described.policy.as_deref();
    Request {
        method: &described.method,
        target: &described.target,
        headers,
        host: &described.host,
        policy: policy.map_or(NamedPolicy::No, NamedPolicy::Name),
    }
}

impl Found {
    fn differences(&self, expected: &Expected) -> Vec<String> {
        let mut differences = Vec::new();
        let decided = if self.reason.is_empty() {
            self.decision
        } else {
            self.reason
        };
        if expected.decision != self.decision && expected.decision != decided {
            let detail = &self.detail;
            differences.push(format!(
                "expected {}, got {decided}{detail}",
                expected.decision
            ));
        }
        if let Some(status) = expected.status.filter(|status| *status != self.status) {
            differences.push(format!("expected status {status}, got {}", self.status));
        }
        let policy = self.policy.as_deref().unwrap_or("none");
        if let Some(name) = expected.policy.as_deref().filter(|name| *name != policy) {
            differences.push(format!("expected policy {name}, got {policy}"));
        }
        let would_refuse = expected.would_refuse.as_deref();
        if let Some(reason) = would_refuse.filter(|reason| *reason != self.would_refuse) {
            let found = self.would_refuse;
            differences.push(format!(
                "expected to be refused without shadow for {reason}, got {found}"
            ));
        }
        for (name, value) in &expected.headers {
            let found = self
                .headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()));
            if found.as_deref() != value.as_deref() {
                let shown = |value: Option<&str>| value.unwrap_or("none").to_owned();
                let (value, found) = (shown(value.as_deref()), shown(found.as_deref()));
                differences.push(format!("expected {name}: {value}, got {found}"));
            }
        }
        differences
    }
}
