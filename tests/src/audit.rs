//! Asks `sp-ctl audit` of a running cluster whose paths all lie on this machine.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Cluster;

/// Waits until nothing is wrong, then reads every file whole; an error says what is wrong. Gives the number of files.
pub fn clean(cluster: &Cluster) -> Result<u64> {
    let report = report(cluster, &["--wait", "60s", "--digests"])?;
    ensure!(report["clean"] == true, "the audit finds {:#}", report["findings"]);
    ensure!(report["skipped"].as_array().is_some_and(Vec::is_empty), "not all was looked at: {}", report["skipped"]);
    let paths = report["paths"].as_array().context("no paths")?;
    Ok(paths.iter().filter_map(|path| path["files"].as_u64()).sum())
}

/// Fault and sector of everything that is wrong.
pub fn faults(cluster: &Cluster, flags: &[&str]) -> Result<Vec<(String, Option<u64>)>> {
    let report = report(cluster, flags)?;
    let findings = report["findings"].as_array().context("no findings")?;
    Ok(findings.iter().map(|f| (f["fault"].as_str().unwrap_or_default().to_owned(), f["sector"].as_u64())).collect())
}

fn report(cluster: &Cluster, flags: &[&str]) -> Result<Value> {
    let output = cluster.ctl(&[&["audit", "--json"], flags].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("the audit failed: {said}"))?;
    let code = if report["clean"] == true { 0 } else { 1 };
    ensure!(output.status.code() == Some(code), "exit code {:?} with {report}", output.status.code());
    Ok(report)
}
