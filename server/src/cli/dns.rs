//! `dns`: the records by which mail programs find the servers of a domain.

use super::Failure;
use crate::autodiscovery::{dns, is_domain};
use crate::config::Config;
use std::path::Path;

pub(super) fn run(domain: &str, file: &Path) -> Result<(), Failure> {
    let service = Config::load(file)?.service();
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if !domain.is_ascii() {
        return Err(format!("{domain:?} must be written in ASCII, as xn--…").into());
    }
    if !is_domain(domain) {
        return Err(format!("{domain:?} is no domain").into());
    }
    if !service.serves(domain) {
        return Err(format!("{domain} is not among autodiscovery.domains").into());
    }
    print!("{}", dns::records(&service, domain));
    Ok(())
}
