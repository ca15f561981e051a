//! Delivery through a server: without keys, beside clients that watch.

use super::server;
use crate::config::Limits;
use crate::driver::Server;
use crate::driver::delivery::{DeliverError, Deliverer};
use crate::runtime::threads::Threads;
use core::time::Duration;
use futures_util::future::join_all;
use futures_util::io::Cursor;
use restante_core::account::{AccountReply, AccountRequest, ConnectionId};
use restante_core::boundary::{Credentials, Login};
use restante_core::delivery::DeliveryFailure;
use restante_core::mailbox::MailboxName;
use restante_core::seal::ContentKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

fn login(server: &Server<Threads>) -> Login {
    let credentials = Credentials {
        user: "alice".to_owned(),
        password: Zeroizing::new("secret".to_owned()),
        source: None,
    };
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    async_io::block_on(server.accounts.login(credentials, source)).unwrap()
}

#[test]
fn delivered_messages_are_there_and_wake_who_watches() {
    let (server, _folder) = server(&Limits::default());
    let recipient = async_io::block_on(server.accounts.recipient("Alice")).unwrap();
    let deliverer = Deliverer::new(Arc::clone(&server));
    // Before anybody has ever logged in.
    let first = deliverer.deliver(recipient, vec![], Cursor::new(MESSAGE));
    async_io::block_on(first).unwrap();
    let login = login(&server);
    assert_eq!(login.keys.account(), recipient.account);
    let client = Server::attach(&server, ConnectionId(1), &login).unwrap();
    client.request(AccountRequest::Select {
        name: MailboxName::inbox(),
        read_only: false,
    });
    let told = || async_io::block_on(core::future::poll_fn(|cx| client.poll_reply(cx))).unwrap();
    let AccountReply::Selected { mailbox, snapshot } = told() else {
        panic!("not selected");
    };
    assert_eq!((mailbox, snapshot.state.len()), (recipient.inbox, 1));
    // Many at once, one of them longer than a chunk.
    let long = [MESSAGE, &b"x".repeat(200_000)].concat();
    let others = (0..20).map(|number| {
        let octets = if number == 7 { &long } else { MESSAGE };
        deliverer.deliver(recipient, vec![], Cursor::new(octets))
    });
    let begin = Instant::now();
    let outcomes = async_io::block_on(join_all(others));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    loop {
        let AccountReply::Changed(snapshot) = told() else {
            panic!("nothing else was asked for");
        };
        if snapshot.state.len() == 21 {
            let messages = snapshot.state.iter_from(0);
            let uids = messages.map(|it| (it.uid.get(), it.kind));
            assert!(uids.eq((1..=21).map(|uid| (uid, ContentKind::Delivery))));
            break;
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_message_that_breaks_off_or_is_empty_leaves_nothing() {
    struct Breaks;
    impl futures_util::io::AsyncRead for Breaks {
        fn poll_read(
            self: core::pin::Pin<&mut Self>,
            _: &mut core::task::Context<'_>,
            _: &mut [u8],
        ) -> core::task::Poll<std::io::Result<usize>> {
            core::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
        }
    }
    let (server, _folder) = server(&Limits::default());
    let recipient = async_io::block_on(server.accounts.recipient("alice")).unwrap();
    let deliverer = Deliverer::new(Arc::clone(&server));
    let broken = async_io::block_on(deliverer.deliver(recipient, vec![], Breaks));
    assert!(matches!(broken, Err(DeliverError::Source(_))));
    let empty = async_io::block_on(deliverer.deliver(recipient, vec![], Cursor::new(b"")));
    assert!(matches!(
        empty,
        Err(DeliverError::Failed(DeliveryFailure::Empty))
    ));
    let client = Server::attach(&server, ConnectionId(1), &login(&server)).unwrap();
    client.request(AccountRequest::Status(MailboxName::inbox()));
    match async_io::block_on(core::future::poll_fn(|cx| client.poll_reply(cx))).unwrap() {
        AccountReply::Status(state) => assert_eq!(state.len(), 0),
        other => panic!("{other:?}"),
    }
}
