//! Logging in, as the driver does it.

use super::*;
use crate::runtime::threads::Threads;
use crate::runtime::timeout;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use core::task::Poll;
use std::fs;
use std::future::Future;
use tempfile::TempDir;
use zeroize::Zeroizing;

fn params() -> Params {
    Params::new(1024, 1, 1, Some(32)).unwrap()
}

/// The account alice with the password "secret".
fn accounts() -> (Accounts<Threads>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = AccountsFile::new(folder.path().join("accounts.toml"));
    edit::add(&file, "alice", "secret", &params(), None).unwrap();
    let stretcher = Stretcher::new(Threads, 8 * 1024 * 1024, 2, 64);
    (Accounts::new(Threads, file, params(), stretcher), folder)
}

async fn login(
    accounts: &Accounts<Threads>,
    user: &str,
    password: &str,
    source: &str,
) -> Result<AccountId, LoginError> {
    let credentials = Credentials {
        user: user.to_owned(),
        password: Zeroizing::new(password.to_owned()),
        source: None,
    };
    let opened = accounts.login(credentials, source.parse().unwrap()).await?;
    Ok(opened.login.keys.account())
}

#[test]
fn name_and_password_open_the_account() {
    let (accounts, _folder) = accounts();
    async_io::block_on(async {
        let id = login(&accounts, "alice", "secret", "::1").await.unwrap();
        assert_eq!(login(&accounts, "ALICE", "secret", "::1").await, Ok(id));
        for (user, password) in [
            ("alice", "Secret"),
            ("alice", ""),
            ("bob", "secret"),
            ("", "secret"),
        ] {
            let result = login(&accounts, user, password, "::1").await;
            assert_eq!(result, Err(LoginError::Invalid));
        }
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        let result = login(&accounts, "alice", &long, "::1").await;
        assert_eq!(result, Err(LoginError::Invalid));
    });
}

#[test]
fn right_password_of_an_altered_entry_opens_nothing() {
    let (accounts, _folder) = accounts();
    type Change = fn(&mut Entry);
    let alter = |change: Change| {
        let altered = accounts.file.edit(|list| {
            let list = list.changed(|entries| change(&mut entries[0])).unwrap();
            Ok((list, ()))
        });
        altered.unwrap();
    };
    let before = accounts.file.read().unwrap().entries()[0].clone();
    let changes: [(Change, String); 2] = [
        (
            |entry| entry.public_key[31] ^= 1,
            format!("public_key = \"{}\"", STANDARD.encode(before.public_key)),
        ),
        (
            |entry| entry.inbox.as_mut().unwrap().0[0] ^= 1,
            format!("inbox = \"{}\"", before.inbox.unwrap()),
        ),
    ];
    for (change, line) in changes {
        alter(change);
        let right = async_io::block_on(login(&accounts, "alice", "secret", "::1"));
        assert_eq!(right, Err(LoginError::Altered));
        let wrong = async_io::block_on(login(&accounts, "alice", "wrong", "::1"));
        assert_eq!(wrong, Err(LoginError::Invalid));
        let told = edit::keys(&accounts.file, "alice", "secret").unwrap_err();
        assert!(told.to_string().ends_with(&line), "{told}");
        let told = edit::change_password(&accounts.file, "alice", "secret", "new", &params());
        assert!(matches!(told, Err(AccountsError::Altered(..))), "{told:?}");
        alter(change);
        let right = async_io::block_on(login(&accounts, "alice", "secret", "::1"));
        assert_eq!(right, Ok(before.id));
    }
}

#[test]
fn file_that_is_damaged_later_is_no_wrong_password() {
    let (accounts, folder) = accounts();
    fs::write(folder.path().join("accounts.toml"), "version = 7").unwrap();
    let result = async_io::block_on(login(&accounts, "alice", "secret", "::1"));
    assert_eq!(result, Err(LoginError::Unavailable));
}

#[test]
fn file_that_is_gone_later_is_no_wrong_password() {
    let (accounts, folder) = accounts();
    fs::remove_file(folder.path().join("accounts.toml")).unwrap();
    let result = async_io::block_on(login(&accounts, "alice", "secret", "::1"));
    assert_eq!(result, Err(LoginError::Unavailable));
}

#[test]
fn password_of_more_memory_than_all_may_have_is_checked_alone() {
    let (accounts, _folder) = accounts();
    let much = Params::new(9 * 1024, 1, 1, Some(32)).unwrap();
    edit::add(&accounts.file, "bob", "secret", &much, None).unwrap();
    async_io::block_on(async {
        let logins = (0..4).map(|_| login(&accounts, "bob", "secret", "::1"));
        let results = futures_util::future::join_all(logins).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let wrong = login(&accounts, "bob", "wrong", "::1").await;
        assert_eq!(wrong, Err(LoginError::Invalid));
    });
}

#[test]
fn unknown_name_is_as_much_work_as_a_wrong_password() {
    let (accounts, _folder) = accounts();
    let work = |user: &str| {
        let result = async_io::block_on(login(&accounts, user, "wrong", "::1"));
        assert_eq!(result, Err(LoginError::Invalid));
        std::mem::take(&mut *accounts.stretcher.asked.lock().unwrap())
    };
    let known = work("alice");
    assert_eq!(known, [params()]);
    assert_eq!(known, work("nobody"));
}

#[test]
fn many_logins_at_once_are_all_answered() {
    let (accounts, _folder) = accounts();
    let results = async_io::block_on(futures_util::future::join_all(
        (0..40).map(|_| login(&accounts, "alice", "secret", "::1")),
    ));
    assert!(results.iter().all(Result::is_ok));
}

#[test]
fn guesses_at_once_gain_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = AccountsFile::new(folder.path().join("accounts.toml"));
    let params = Params::new(64, 1, 1, Some(32)).unwrap();
    edit::add(&file, "alice", "secret", &params, None).unwrap();
    let stretcher = Stretcher::new(Threads, 8 * 1024 * 1024, 2, 1024);
    let accounts = Accounts::new(Threads, file, params, stretcher);
    async_io::block_on(async {
        let names: Vec<_> = (0..300).map(|number| format!("guess-{number}")).collect();
        let guesses = names
            .iter()
            .map(|name| login(&accounts, name, "guess", "192.0.2.1"));
        let guesses = futures_util::future::join_all(guesses);
        let second = Duration::from_secs(1);
        assert!(timeout(&Threads, second, guesses).await.is_none());
    });
    let asked = accounts.stretcher.asked.lock().unwrap().len();
    assert!((10..30).contains(&asked), "{asked} were computed");
}

#[test]
fn who_logged_in_from_there_does_not_wait_for_those_who_guess() {
    let (accounts, _folder) = accounts();
    edit::add(&accounts.file, "bob", "secret", &params(), None).unwrap();
    async_io::block_on(async {
        let soon = async |user: &str, password: &str, source: &str| {
            let next = login(&accounts, user, password, source);
            timeout(&Threads, Duration::from_secs(1), next).await
        };
        let alice = login(&accounts, "alice", "secret", "192.0.2.1").await;
        for guess in 0..30 {
            let attempt = Attempt {
                source: "192.0.2.1".parse().unwrap(),
                name: &format!("guess-{guess}"),
            };
            accounts.penalties.failed(attempt, accounts.now_ms());
        }
        assert!(soon("bob", "secret", "192.0.2.1").await.is_none());
        for _ in 0..30 {
            assert_eq!(soon("alice", "secret", "192.0.2.1").await, Some(alice));
        }
    });
}

#[test]
fn guessing_makes_waiting() {
    let (accounts, _folder) = accounts();
    async_io::block_on(async {
        let guesses = (0..30).map(|_| login(&accounts, "alice", "guess", "192.0.2.1"));
        futures_util::future::join_all(guesses).await;
        let next = login(&accounts, "carol", "guess", "192.0.2.1");
        let soon = timeout(&Threads, Duration::from_secs(1), next).await;
        assert!(soon.is_none(), "as if nothing had happened");
        let elsewhere = login(&accounts, "carol", "guess", "192.0.2.2");
        let soon = timeout(&Threads, Duration::from_secs(1), elsewhere).await;
        assert!(soon.is_some(), "others have to wait as well");
    });
}

async fn recipient(accounts: &Accounts<Threads>, local: &str) -> Result<Recipient, NoRecipient> {
    let (local, domain) = (local.to_owned(), None);
    let addresses = Arc::new(Addresses {
        domains: Vec::new(),
        separator: None,
    });
    accounts
        .addressee(Address { local, domain }, addresses)
        .await
}

#[test]
fn where_mail_is_delivered_is_noted_at_the_next_login() {
    let (accounts, _folder) = accounts();
    async_io::block_on(async {
        let known = recipient(&accounts, "alice").await.unwrap();
        // As an older version left it.
        let forget = accounts.file.edit(|list| {
            let list = list.changed(|entries| entries[0].inbox = None).unwrap();
            Ok((list, ()))
        });
        forget.unwrap();
        assert_eq!(
            recipient(&accounts, "alice").await,
            Err(NoRecipient::NotYet)
        );
        let wrong = login(&accounts, "alice", "wrong", "::1").await;
        assert_eq!(wrong, Err(LoginError::Invalid));
        login(&accounts, "alice", "secret", "::1").await.unwrap();
        let noted = async {
            while recipient(&accounts, "alice").await.is_err() {
                runtime::sleep(&Threads, Duration::from_millis(5)).await;
            }
        };
        timeout(&Threads, Duration::from_secs(10), noted)
            .await
            .unwrap();
        assert_eq!(recipient(&accounts, "ALICE").await, Ok(known));
        assert_eq!(recipient(&accounts, "bob").await, Err(NoRecipient::Unknown));
    });
}

#[test]
fn accounts_that_cannot_be_read_are_no_unknown_recipients() {
    let (accounts, folder) = accounts();
    let path = folder.path().join("accounts.toml");
    let addresses = Arc::new(address::Addresses {
        domains: vec!["example.org".to_owned()],
        separator: Some('+'),
    });
    let find = |local: &str| {
        let address = Address {
            local: local.to_owned(),
            domain: Some("example.org".to_owned()),
        };
        async_io::block_on(accounts.addressee(address, Arc::clone(&addresses)))
    };
    let alice = find("alice").unwrap();
    assert_eq!(find("Alice+detail"), Ok(alice));
    assert_eq!(find("nobody"), Err(NoRecipient::Unknown));
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [Some(""), Some("version = 7"), None] {
        match damaged {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert_eq!(find("nobody"), Err(NoRecipient::Unavailable));
        assert_eq!(find("alice"), Err(NoRecipient::Unavailable));
    }
    fs::write(&path, text).unwrap();
    assert_eq!(find("alice"), Ok(alice));
}

#[test]
fn a_guess_that_is_broken_off_counts() {
    let (accounts, _folder) = accounts();
    async_io::block_on(async {
        for _ in 0..20 {
            let before = accounts.stretcher.asked.lock().unwrap().len();
            let mut guess = Box::pin(login(&accounts, "alice", "guess", "192.0.2.1"));
            // Until a processor is busy with it.
            core::future::poll_fn(|cx| {
                let done = guess.as_mut().poll(cx).is_ready();
                let asked = accounts.stretcher.asked.lock().unwrap().len();
                match done || asked > before {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
        let attempt = Attempt {
            source: "192.0.2.1".parse().unwrap(),
            name: "carol",
        };
        let wait = accounts
            .penalties
            .wait(attempt, &mut Waited::default(), accounts.now_ms());
        assert!(!wait.unwrap().is_zero());
    });
}
