//! The DNS records that lead clients here (RFC 6186, RFC 8314 §5), as lines of a zone file.

use super::{Endpoint, Service};

/// Seconds that they may be kept.
const TTL: u32 = 3_600;

/// The records for a domain, which must be written in ASCII.
#[must_use]
pub fn records(service: &Service, domain: &str) -> String {
    let web = web_host(&service.url);
    let (imap, submission) = (&service.imap, &service.submission);
    let mut lines = vec![
        format!("; {}: mail of {domain}.", service.name),
        "; Where clients find the servers by themselves.".to_owned(),
    ];
    let service_line = |name: &str, endpoint: &Endpoint, port: Option<u16>, priority: u16| {
        let target = match port {
            Some(port) => format!("SRV {priority} 1 {port} {}.", endpoint.host),
            // RFC 6186 §3.4
            None => "SRV 0 0 0 .".to_owned(),
        };
        record(&format!("{name}._tcp.{domain}."), &target)
    };
    lines.push(service_line("_imaps", imap, imap.tls, 0));
    lines.push(service_line("_imap", imap, imap.starttls, 10));
    lines.push(service_line("_submissions", submission, submission.tls, 0));
    lines.push(service_line(
        "_submission",
        submission,
        submission.starttls,
        10,
    ));
    for name in ["_pop3s", "_pop3"] {
        lines.push(service_line(name, imap, None, 0));
    }
    lines.push(
        "; Where clients ask for the rest: Mozilla's and Outlook's autodiscovery.".to_owned(),
    );
    for name in ["autoconfig", "autodiscover"] {
        let name = format!("{name}.{domain}");
        // Where it is the web server's own name it has an address, and beside a CNAME nothing may be (RFC 1034 §3.6.2).
        if !name.eq_ignore_ascii_case(web) {
            lines.push(record(&format!("{name}."), &format!("CNAME {web}.")));
        }
    }
    let port = web_port(&service.url);
    let target = format!("SRV 0 1 {port} {web}.");
    lines.push(record(&format!("_autodiscover._tcp.{domain}."), &target));
    lines.join("\n") + "\n"
}

fn record(name: &str, target: &str) -> String {
    format!("{name:<40} {TTL} IN {target}")
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn web_host(url: &str) -> &str {
    let authority = authority(url);
    authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
}

fn web_port(url: &str) -> &str {
    authority(url)
        .split_once(':')
        .map_or("443", |(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{assert_golden, service};
    use super::*;

    #[test]
    fn golden() {
        assert_golden("dns.zone", &records(&service(), "example.org"));
    }

    #[test]
    fn what_is_not_offered_is_said() {
        let mut service = service();
        service.imap.starttls = None;
        service.url = "https://web.example.org:8443".to_owned();
        let records = records(&service, "example.org");
        let find = |name: &str| records.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(find("_imap._tcp").ends_with("IN SRV 0 0 0 ."), "{records}");
        assert!(find("_autodiscover").ends_with("SRV 0 1 8443 web.example.org."));
        assert!(find("autoconfig.").ends_with("CNAME web.example.org."));
    }

    #[test]
    fn no_name_stands_for_itself() {
        let mut service = service();
        service.url = "https://Autoconfig.example.org".to_owned();
        let records = records(&service, "example.org");
        let names = |name: &str| {
            records
                .lines()
                .filter(|line| line.starts_with(name))
                .count()
        };
        assert_eq!(
            (names("autoconfig."), names("autodiscover.")),
            (0, 1),
            "{records}"
        );
    }
}
