//! What a client may send, at any point of a session, cut anywhere.
//!
//! Input: an octet of choices, one with more of them and the number of pieces' lengths, these
//! lengths, then what the client sends.

use super::source::{Source, pieces};
use super::stream::{Response, responses};
use super::talk::talk;
use super::world::World;
use restante_core::account::ConnectionId;
use restante_core::config::Config;

const LOGGED_IN: u8 = 1;
const SELECTED: u8 = 2;
const SMALL_LIMITS: u8 = 4;
const READS_SLOWLY: u8 = 8;
const BYSTANDER: u8 = 16;
const ENDS: u8 = 32;

// In the octet that says how many lengths follow (in its lowest three bits).
const QRESYNC: u8 = 8;
const NEIGHBOUR: u8 = 128;

/// Octets beyond `transmit_bytes_max` that one command may still say at its end.
const LAST_LINES_BYTES: usize = 64 * 1024;

/// A message that the mailbox has when a client comes that has selected it.
const MAIL: &str = "From: Ada <ada@example.org>\r\nSubject: hello\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\ntwo\r\n--b--\r\n";

/// Messages that came, changed and went.
const PAST: &str = "p APPEND INBOX {4+}\r\na: b\r\np APPEND INBOX {4+}\r\na: b\r\n\
    p APPEND INBOX {4+}\r\na: b\r\np SELECT INBOX\r\np STORE 2 +FLAGS (\\Deleted k1)\r\n\
    p STORE 3 +FLAGS (k2)\r\np EXPUNGE\r\np CLOSE\r\n";

/// What the client is in the middle of.
const BEGUN: [&[u8]; 8] = [
    b"",
    b"x IDLE\r\n",
    b"x APPEND INBOX (\\Seen) {40}\r\nFrom: somebody",
    b"x APPEND INBOX {4}\r\na: b {4+}\r\na:",
    b"x AUTHENTICATE PLAIN\r\n",
    b"x UID SEARCH RETURN (ALL COUNT) OR ",
    b"x UID FETCH 1:* (FLAGS BODY.PEEK[]) (CHANGEDSINCE 1 VANISHED)\r\n",
    b"x SEARCH SUBJECT {5}\r\n",
];

/// Another client, which changes the same mailbox.
struct Neighbour {
    id: ConnectionId,
    turn: usize,
}

impl Neighbour {
    fn new(world: &mut World) -> Self {
        let id = world.log_in();
        world.say(id, b"n SELECT INBOX\r\n");
        Self { id, turn: 0 }
    }

    fn act(&mut self, world: &mut World) {
        let commands: [&[u8]; 8] = [
            b"n APPEND INBOX {4+}\r\na: b\r\n",
            b"n STORE 1:* +FLAGS (k3)\r\n",
            b"n STORE 1 +FLAGS (\\Deleted)\r\n",
            b"n EXPUNGE\r\nn UNSELECT\r\n",
            PAUSE,
            b"n SELECT INBOX\r\nn STORE 1:* -FLAGS (k3)\r\nn UNSELECT\r\n",
            PAUSE,
            b"n SELECT INBOX\r\n",
        ];
        let command = commands[self.turn % commands.len()];
        self.turn += 1;
        if command == PAUSE {
            // Who is in IDLE sleeps then, and the account with them.
            world.wait_s(10);
            world.rest_account();
        } else if !world.is_closed(self.id) {
            world.say(self.id, command);
        }
    }
}

/// Nothing is said for ten seconds.
const PAUSE: &[u8] = b"";

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let more = source.byte();
    let pattern = source.take(usize::from(more % 8));
    let octets = source.rest();
    let is = |choice| choices & choice != 0;

    let mut world = World::with_config(1, config(is(SMALL_LIMITS)));
    world.turns_max = 100_000 + 100 * octets.len() as u64;
    let bystander = is(BYSTANDER).then(|| watch(&mut world));
    let client = if is(LOGGED_IN) {
        world.log_in()
    } else {
        world.connect()
    };
    world.read(client);
    if is(LOGGED_IN) && more & QRESYNC != 0 {
        // With something in the past that can be asked for.
        world.say(client, PAST.as_bytes());
        world.say(client, b"e ENABLE QRESYNC\r\n");
    }
    if is(LOGGED_IN) && is(SELECTED) {
        let append = format!(
            "p APPEND INBOX (\\Flagged) {{{}+}}\r\n{MAIL}\r\n",
            MAIL.len()
        );
        world.say(client, append.as_bytes());
        world.say(client, b"s SELECT INBOX\r\n");
    }
    let begun = BEGUN[usize::from(more >> 4 & 7)];
    let mut said = world.say_octets(client, begun);
    let mut neighbour = (more & NEIGHBOUR != 0).then(|| Neighbour::new(&mut world));
    said.extend(world.read_octets(client));
    let mut has_tls = false;
    let pieces = pieces(octets, pattern);
    let slowly = is(READS_SLOWLY);
    let heard = talk(
        &mut world,
        client,
        &pieces,
        slowly,
        LAST_LINES_BYTES,
        |world| {
            if let Some(neighbour) = &mut neighbour {
                neighbour.act(world);
            }
            if !has_tls && world.asked_for_tls(client) {
                has_tls = true;
                world.finish_tls(client);
            }
        },
    );
    said.extend(heard);
    // Wrong passwords are answered late.
    world.wait_s(40);
    said.extend(world.read_octets(client));
    let closed_before_end = world.is_closed(client);
    if is(ENDS) {
        world.end_input(client);
    }
    let octets = [begun, octets].concat();
    check(&said, &octets, closed_before_end);
    if let Some(bystander) = bystander {
        let heard = world.read_octets(bystander);
        let closed = world.is_closed(bystander);
        responses(&heard, closed);
    }
}

fn config(small: bool) -> Config {
    let usual = Config {
        bad_commands_max: u32::MAX,
        plaintext_login: true,
        ..Config::default()
    };
    if !small {
        return usual;
    }
    Config {
        line_bytes_max: 256,
        literal_bytes_max: 300,
        skip_bytes_max: 2_048,
        message_bytes_max: 4_096,
        append_messages_max: 2,
        pipeline_max: 4,
        receive_bytes_max: 512,
        transmit_bytes_max: 1_024,
        chunk_bytes: 64,
        prefetch_bytes_max: 256,
        prefetch_objects_max: 2,
        summary_batch_bytes_max: 1_024,
        summary_batch_items_max: 2,
        summary_item_bytes_max: 512,
        header_bytes_max: 128,
        mime_parts_max: 4,
        mime_depth_max: 3,
        mime_header_bytes_max: 64,
        structure_bytes_max: 256,
        search_depth_max: 4,
        search_keys_max: 8,
        set_ranges_max: 4,
        fetch_items_max: 6,
        flags_max: 4,
        keyword_bytes_max: 16,
        mailboxes_max: 4,
        mailbox_name_bytes_max: 40,
        mailbox_depth_max: 3,
        keywords_max: 2,
        messages_max: 8,
        checkpoint_operations_min: 4,
        ..usual
    }
}

/// Another client, which idles in the same mailbox.
fn watch(world: &mut World) -> ConnectionId {
    let id = world.log_in();
    world.say(id, b"w SELECT INBOX\r\n");
    world.say(id, b"w IDLE\r\n");
    id
}

/// The answers must be responses and, where it is clear what the commands are, as many as
/// commands.
fn check(said: &[u8], octets: &[u8], closed: bool) {
    let responses = responses(said, closed);
    if !is_plain(octets) {
        return;
    }
    let commands = octets.iter().filter(|&&octet| octet == b'\n').count();
    let answers = responses.iter().filter(|it| is_answer(it)).count();
    assert!(
        answers <= commands,
        "{answers} answers to {commands} commands"
    );
    assert!(
        closed || answers == commands,
        "{answers} answers to {commands} commands"
    );
}

fn is_answer(response: &Response) -> bool {
    match response.first.as_slice() {
        b"*" => response.second == b"BAD",
        first => first != b"+",
    }
}

/// Whether each line is a command for certain: no literals, and nothing that has lines of
/// its own.
fn is_plain(octets: &[u8]) -> bool {
    let upper = octets.to_ascii_uppercase();
    let has = |word: &[u8]| upper.windows(word.len()).any(|it| it == word);
    !(has(b"{") || has(b"IDLE") || has(b"AUTHENTICATE") || has(b"STARTTLS"))
}
