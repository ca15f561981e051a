//! A real Garage for the suite, and what only this backend promises: that the faults of a
//! network lose nothing, and that a wrong configuration is told at start.

use crate::fixture::{ask, body, get, insert, key, list, object, put, values};
use crate::runtime::threads::Threads;
use crate::tls_front;
use bytes::Bytes;
use futures_lite::future::block_on;
use restante_core::storage::{StorageError, StorageRequest, StorageResponse};
use restante_garage_node::{Bucket, Mode, Node, Proxy, REGION};
use restante_server::accounts::file::AccountsFile;
use restante_server::secret::Secret;
use restante_server::storage::Storage;
use restante_server::storage::garage::{BreakerState, Garage, GarageConfig, GarageLimits};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A bucket of its own on the node that all tests share.
pub(crate) fn fresh() -> Garage {
    open(config(&Node::shared().bucket()))
}

fn config(bucket: &Bucket) -> GarageConfig {
    GarageConfig {
        s3: bucket.s3_url(),
        k2v: bucket.k2v_url(),
        region: REGION.to_owned(),
        bucket: bucket.name.clone(),
        key_id: bucket.key_id.clone(),
        secret: Secret::from(bucket.secret.clone()),
        ca: None,
        limits: GarageLimits::default(),
    }
}

fn open(config: GarageConfig) -> Garage {
    block_on(Garage::open(Threads, config, None)).unwrap()
}

/// The certificate of somebody else.
const STRANGER: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBfjCCASOgAwIBAgIUDOs9uJPA+CN57kqnckQtIgx9XBQwCgYIKoZIzj0EAwIw\n\
    EzERMA8GA1UEAwwIc3RyYW5nZXIwIBcNMjYxMTI1MDQ0NTI5WhgPMjEyNjExMDEw\n\
    NDQ1MjlaMBMxETAPBgNVBAMMCHN0cmFuZ2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0D\n\
    AQcDQgAE8yUa/J3Co0rDQLDWDlQjWDs8stJleMyKsVumko67ZVxe4T3AGOacHwQb\n\
    Tfa/vXJXKUiSHdPHIgK4FaoNkDR2XaNTMFEwHQYDVR0OBBYEFARnmM7lNTWI9Cvy\n\
    6jjSOQsbkgrcMB8GA1UdIwQYMBaAFARnmM7lNTWI9Cvy6jjSOQsbkgrcMA8GA1Ud\n\
    EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAMBoG1/NdA82+/sZVhHQVt5y\n\
    +282C8uZZtHW8G15/NeKAiEA/UOYd2yyPhvzV//u7fx9W77iefvJjJRt43nebuIh\n\
    XCM=\n\
    -----END CERTIFICATE-----";

/// A bucket behind a proxy, for S3 or for K2V.
struct Behind {
    config: GarageConfig,
    s3: Proxy,
    k2v: Proxy,
}

impl Behind {
    fn new() -> Self {
        let bucket = Node::shared().bucket();
        let (s3, k2v) = (Proxy::to(bucket.s3), Proxy::to(bucket.k2v));
        let url = |address: SocketAddr| format!("http://{address}");
        let config = GarageConfig {
            s3: url(s3.address()),
            k2v: url(k2v.address()),
            limits: GarageLimits {
                request_timeout_ms: 1_000,
                ..GarageLimits::default()
            },
            ..config(&bucket)
        };
        Self { config, s3, k2v }
    }
}

fn refusal(config: GarageConfig) -> String {
    let opened = block_on(Garage::open(Threads, config, None));
    opened.err().expect("Garage must not open").to_string()
}

#[test]
fn a_wrong_configuration_is_told_at_start_by_its_key() {
    let node = Node::shared();
    let bucket = node.bucket();
    let right = config(&bucket);
    let (key_id, secret) = node.powerless_key();
    let wrong_secret = GarageConfig {
        secret: Secret::from("0".repeat(64)),
        ..right.clone()
    };
    let wrong_key = GarageConfig {
        key_id: "GK0000000000000000000000".to_owned(),
        ..right.clone()
    };
    let powerless = GarageConfig {
        key_id,
        secret: Secret::from(secret),
        ..right.clone()
    };
    let no_bucket = GarageConfig {
        bucket: "there-is-no-such-bucket".to_owned(),
        ..right.clone()
    };
    let wrong_region = GarageConfig {
        region: "elsewhere".to_owned(),
        ..right.clone()
    };
    let no_url = GarageConfig {
        k2v: bucket.k2v.to_string(),
        ..right.clone()
    };
    let (key_id, secret) = node.reading_key(&bucket);
    let allow = format!(
        "garage bucket allow --read --write {} --key {key_id}",
        bucket.name
    );
    let reading = GarageConfig {
        key_id,
        secret: Secret::from(secret),
        ..right.clone()
    };
    let error = refusal(reading);
    assert!(
        error.contains("storage.key_id") && error.contains(&allow),
        "{error}"
    );
    for (config, key) in [
        (wrong_secret, "storage.key_id"),
        (wrong_key, "storage.key_id"),
        (powerless, "storage.key_id"),
        (no_bucket, "storage.bucket"),
        (wrong_region, "storage.region"),
        (no_url, "storage.k2v"),
    ] {
        let error = refusal(config);
        assert!(error.contains(key), "{error}");
        assert!(!error.contains(&bucket.secret), "{error}");
    }
}

#[test]
fn garage_is_reached_over_tls_by_who_trusts_its_certificate() {
    let bucket = Node::shared().bucket();
    let over_tls = GarageConfig {
        s3: tls_front::before(bucket.s3),
        k2v: tls_front::before(bucket.k2v),
        ca: Some(tls_front::certificate()),
        ..config(&bucket)
    };
    let garage = open(over_tls.clone());
    let (at, stored) = (key("p", "s"), body(1, 3_000_000));
    assert_eq!(insert(&garage, &at, None, "v"), StorageResponse::Done);
    assert_eq!(put(&garage, "o", &stored), Ok(()));
    // What went in over TLS is there without.
    let plain = open(config(&bucket));
    assert_eq!(values(&plain, &at), [Bytes::from("v")]);
    assert_eq!(get(&plain, "o"), Ok(stored.clone()));
    assert_eq!(get(&garage, "o"), Ok(stored));

    // Who trusts somebody else sends nothing, not even the key's name.
    let stranger = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(stranger.path(), STRANGER).unwrap();
    let distrusting = GarageConfig {
        ca: Some(stranger.path().to_owned()),
        ..over_tls.clone()
    };
    let distrusting = open(distrusting);
    let answer = insert(&distrusting, &at, None, "w");
    assert!(matches!(
        answer,
        StorageResponse::Failed(StorageError::Unavailable(why)) if why.contains("certificate")
    ));
    assert_eq!(values(&plain, &at), [Bytes::from("v")]);

    let nowhere = GarageConfig {
        ca: Some("there/is/no/such.pem".into()),
        ..over_tls
    };
    assert!(refusal(nowhere).contains("storage.ca"));
}

#[test]
fn a_garage_that_is_not_there_yet_is_waited_for() {
    let behind = Behind::new();
    behind.s3.set(Mode::Cut);
    behind.k2v.set(Mode::Cut);
    let garage = open(behind.config);
    let at = key("p", "s");
    let answer = insert(&garage, &at, None, "v");
    assert!(matches!(
        answer,
        StorageResponse::Failed(StorageError::Unavailable(_))
    ));
    behind.s3.set(Mode::Pass);
    behind.k2v.set(Mode::Pass);
    let begin = Instant::now();
    while insert(&garage, &at, None, "v") != StorageResponse::Done {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
    }
    assert_eq!(values(&garage, &at), [Bytes::from("v")]);
    while put(&garage, "o", &body(1, 10)) != Ok(()) {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
    }
}

#[test]
fn requests_fail_at_once_while_garage_does_not_answer() {
    let behind = Behind::new();
    let timeout = Duration::from_secs(2);
    let limits = GarageLimits {
        request_timeout_ms: 2_000,
        breaker_failures_max: 2,
        breaker_pause_ms: 60_000,
        ..behind.config.limits.clone()
    };
    let garage = open(GarageConfig {
        limits,
        ..behind.config
    });
    assert_eq!(garage.breakers().1, BreakerState::Closed);
    behind.k2v.set(Mode::Hang);
    for _ in 0..2 {
        insert(&garage, &key("p", "s"), None, "v");
    }
    assert_eq!(
        garage.breakers(),
        (BreakerState::Closed, BreakerState::Open)
    );
    let begin = Instant::now();
    let answer = insert(&garage, &key("p", "s"), None, "v");
    assert!(matches!(
        answer,
        StorageResponse::Failed(StorageError::Unavailable(_))
    ));
    assert!(begin.elapsed() < timeout, "it was tried");
    // Objects do not suffer from it.
    assert_eq!(put(&garage, "o", &body(1, 10)), Ok(()));
}

#[test]
fn a_request_fails_at_once_after_resets_and_once_its_time_is_over() {
    let behind = Behind::new();
    // Long against what a busy machine takes for the attempts that are reset.
    let timeout = Duration::from_secs(3);
    let garage = open(GarageConfig {
        limits: GarageLimits {
            request_timeout_ms: 3_000,
            breaker_failures_max: 1_000,
            ..behind.config.limits.clone()
        },
        ..behind.config
    });
    let at = key("p", "s");
    let took = |fails: &dyn Fn() -> bool| {
        let begin = Instant::now();
        assert!(fails());
        begin.elapsed()
    };
    let unavailable = |error| matches!(error, StorageError::Unavailable(_));
    // More than one part, so that an upload begins.
    let large = body(1, 2_500_000);
    let put = |large: &Bytes| put(&garage, "o", large).is_err_and(unavailable);
    let insert = || matches!(insert(&garage, &at, None, "v"), StorageResponse::Failed(_));
    // Four attempts at a request that hangs would take four times as long.
    for (mode, time_max) in [(Mode::Reset, timeout), (Mode::Hang, timeout * 3)] {
        behind.s3.set(mode);
        behind.k2v.set(mode);
        let times = [
            took(&|| put(&large)),
            took(&|| put(&body(1, 10))),
            took(&insert),
        ];
        assert!(
            times.iter().all(|time| *time < time_max),
            "{mode:?}: {times:?}"
        );
    }
}

#[test]
fn a_body_that_breaks_off_is_read_on_and_never_from_another_object() {
    let behind = Behind::new();
    let garage = open(behind.config);
    let whole = body(1, 3_000_000);
    put(&garage, "o", &whole).unwrap();
    behind.s3.set(Mode::BreakAfter(700_000));
    assert!(get(&garage, "o") == Ok(whole.clone()), "not the same bytes");

    // The answer that has begun ends early as well, so the rest is asked for anew.
    let mut opened = block_on(garage.open(object("o"), 0, None, 65_552)).unwrap();
    behind.s3.set(Mode::Pass);
    put(&garage, "o", &body(2, 3_000_000)).unwrap();
    let mut read = opened.chunk.to_vec();
    let end = loop {
        match block_on(opened.source.read(65_552)) {
            Ok(chunk) => read.extend_from_slice(&chunk),
            Err(error) => break error,
        }
        assert!(read.len() < whole.len(), "it was cut off");
    };
    assert_eq!(end, StorageError::NotFound);
    assert!(whole.starts_with(&read), "bytes of another object");
}

#[test]
fn an_upload_survives_a_network_that_is_gone_for_a_moment() {
    let behind = Behind::new();
    let garage = open(behind.config);
    let whole = body(3, 3_500_000);
    block_on(async {
        let mut sink = garage.create(object("o")).await.unwrap();
        for (number, chunk) in whole.chunks(65_552).enumerate() {
            if number % 20 == 10 {
                // Every connection that waits is closed, and the next one is new.
                behind.s3.set(Mode::Cut);
                behind.s3.set(Mode::Pass);
            }
            sink.write(whole.slice_ref(chunk)).await.unwrap();
        }
        sink.finish().await.unwrap();
    });
    assert!(get(&garage, "o") == Ok(whole), "not the same bytes");
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let garage = fresh();
    block_on(async {
        let mut sink = garage.create(object("o")).await.unwrap();
        sink.write(body(1, 2_500_000)).await.unwrap();
    });
    assert_eq!(get(&garage, "o"), Err(StorageError::NotFound));
    assert_eq!(list(&garage, "", None, 10), (vec![], false));
}

#[test]
fn more_bodies_than_connections_are_read_piece_by_piece() {
    let limits = GarageLimits {
        streams_max: 1,
        ..GarageLimits::default()
    };
    let garage = open(GarageConfig {
        limits,
        ..config(&Node::shared().bucket())
    });
    let whole = body(1, 700_000);
    put(&garage, "o", &whole).unwrap();
    block_on(async {
        let mut open = Vec::new();
        for _ in 0..3 {
            let opened = garage.open(object("o"), 0, None, 65_552).await.unwrap();
            open.push((opened.chunk.to_vec(), opened.source));
        }
        while open[0].0.len() < whole.len() {
            for (read, source) in &mut open {
                read.extend_from_slice(&source.read(65_552).await.unwrap());
            }
        }
        assert!(open.iter().all(|(read, _)| *read == whole));
    });
}

#[test]
fn an_account_with_a_bucket_of_its_own_is_there_and_nowhere_else() {
    let node = Node::shared();
    let (all, own) = (node.bucket(), node.bucket());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.toml");
    let account = |id: &str, name: &str, own: &str| {
        format!(
            "[[account]]\nid = \"{id}\"\nnames = [\"{name}\"]\n\
             public_key = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\n{own}"
        )
    };
    let (first, second) = ("0".repeat(31) + "1", "0".repeat(31) + "2");
    let alice = account(&first, "alice", "");
    std::fs::write(&path, format!("version = 1\n{alice}")).unwrap();
    let file = Arc::new(AccountsFile::new(path.clone()));
    let garage = block_on(Garage::open(Threads, config(&all), Some(file))).unwrap();
    put(&garage, &format!("{first}/c/1"), &body(1, 10)).unwrap();

    // One that is added while the server runs.
    let bucket = format!(
        "bucket = \"{}\"\nkey_id = \"{}\"\nsecret = \"{}\"\n",
        own.name, own.key_id, own.secret
    );
    let bob = account(&second, "bob", &bucket);
    std::fs::write(path, format!("version = 1\n{alice}{bob}")).unwrap();
    put(&garage, &format!("{second}/c/2"), &body(2, 10)).unwrap();
    insert(&garage, &key(&format!("{second}/d"), "s"), None, "v");
    insert(&garage, &key("!bell/0", &second), None, "ding");

    let (all, own) = (open(config(&all)), open(config(&own)));
    assert_eq!(list(&all, "", None, 10).0, [format!("{first}/c/1")]);
    assert_eq!(list(&own, "", None, 10).0, [format!("{second}/c/2")]);
    let at = key(&format!("{second}/d"), "s");
    assert_eq!(values(&own, &at), [Bytes::from("v")]);
    assert_eq!(values(&all, &at), Vec::<Bytes>::new());
    assert_eq!(
        values(&all, &key("!bell/0", &second)),
        [Bytes::from("ding")]
    );
}

#[test]
fn large_batches_and_ranges_arrive_whole() {
    let garage = fresh();
    let inserts = (0..2_500).map(|number| restante_core::storage::InsertItem {
        key: key("p/ü %\"", &format!("{number:05}/ß\"+ %")),
        token: None,
        value: body(number, 1_000),
    });
    let inserts: Vec<_> = inserts.collect();
    assert_eq!(
        ask(&garage, StorageRequest::InsertItems(inserts.clone())),
        StorageResponse::Done
    );
    let keys = inserts.iter().rev().map(|insert| insert.key.clone());
    let StorageResponse::Items(items) = ask(&garage, StorageRequest::ReadItems(keys.collect()))
    else {
        panic!("no items");
    };
    assert_eq!(items.len(), inserts.len());
    for (item, insert) in items.iter().zip(inserts.iter().rev()) {
        assert_eq!(
            (&item.key, &item.values[..]),
            (&insert.key, &[insert.value.clone()][..])
        );
    }
    let deletes = items.into_iter().map(|item| (item.key, item.token));
    ask(&garage, StorageRequest::DeleteItems(deletes.collect()));
    assert_eq!(values(&garage, &inserts[2_000].key), Vec::<Bytes>::new());
    assert_eq!(
        insert(&garage, &inserts[0].key, None, "one"),
        StorageResponse::Done
    );
    assert_eq!(values(&garage, &inserts[0].key), [Bytes::from("one")]);
}
