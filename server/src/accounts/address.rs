//! Whose mail an address is.

use super::list::{AccountList, Entry};
use restante_core::lmtp::Address;

/// How addresses are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Domains in which an account whose name has no domain gets mail.
    pub domains: Vec<String>,
    /// What stands between a name and a detail (RFC 5233), if anything.
    pub separator: Option<char>,
}

impl Addresses {
    /// The account that gets mail for `address`. The whole local part comes before the part
    /// in front of a separator, and a name with its domain before one without.
    #[must_use]
    pub fn find<'a>(&self, list: &'a AccountList, address: &Address) -> Option<&'a Entry> {
        let local = address.local.as_str();
        let user = self.separator.and_then(|separator| {
            let (user, _) = local.split_once(separator)?;
            (!user.is_empty()).then_some(user)
        });
        let mut locals = core::iter::once(local).chain(user);
        locals.find_map(|local| self.find_local(list, local, address.domain.as_deref()))
    }

    fn find_local<'a>(
        &self,
        list: &'a AccountList,
        local: &str,
        domain: Option<&str>,
    ) -> Option<&'a Entry> {
        // Quotes may hold anything; `"a@b"@c` is not `a@b`.
        if local.contains('@') {
            return None;
        }
        let Some(domain) = domain else {
            return list.find_address(local);
        };
        let found = list.find_address(&format!("{local}@{domain}"));
        let mut domains = self.domains.iter();
        let ours = domains.any(|ours| ours.eq_ignore_ascii_case(domain));
        found.or_else(|| ours.then(|| list.find_address(local))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an address, whose mail it is.
    fn found(addresses: &Addresses, address: &str) -> Option<String> {
        let golden = include_str!("golden/accounts-v3.toml");
        let golden = golden.replace("postmaster", "bob+lists@example.org");
        let list = AccountList::parse(&golden).unwrap();
        let (local, domain) = match address.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain.to_owned())),
            None => (address, None),
        };
        let local = local.to_owned();
        let entry = addresses.find(&list, &Address { local, domain })?;
        entry.names.first().cloned()
    }

    #[test]
    fn names_details_and_further_addresses() {
        let mut addresses = Addresses {
            domains: vec!["Example.net".to_owned()],
            separator: Some('+'),
        };
        for (address, whose) in [
            ("alice", Some("alice")),
            ("ALICE@Example.ORG", Some("alice")),
            ("alice+detail+more@example.org", Some("alice")),
            ("alice@example.net", Some("alice")),
            ("alice+detail@EXAMPLE.net", Some("alice")),
            ("bob+x", Some("bob")),
            ("bob@example.net", Some("bob")),
            ("sales@example.org", Some("bob")),
            ("Sales+x@example.org", Some("bob")),
            ("bob+lists@example.org", Some("bob")),
            // Not one of the domains of names without one.
            ("bob@example.org", None),
            ("bob+else@example.org", None),
            ("alice@example.com", None),
            ("sales", None),
            ("+alice@example.org", None),
            ("+@example.org", None),
            ("alice@example.org@example.net", None),
            ("", None),
        ] {
            assert_eq!(found(&addresses, address).as_deref(), whose, "{address}");
        }
        addresses.separator = None;
        assert_eq!(found(&addresses, "alice+x@example.org"), None);
        assert_eq!(
            found(&addresses, "bob+lists@example.org").as_deref(),
            Some("bob")
        );
        addresses.separator = Some('-');
        assert_eq!(
            found(&addresses, "alice-x@example.org").as_deref(),
            Some("alice")
        );
    }
}
