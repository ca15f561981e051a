//! An account whose storage holds values that no server of ours would write, sealed well, or
//! answers what was not asked.
//!
//! Input: an octet of choices, records of what is put into storage, what happens, if that is
//! chosen, then how storage lies. If nothing is chosen a client says one command of each kind.
//! Each command must be answered, and the machines must come to rest.

use super::source::Source;
use super::stream::responses;
use super::world::{Liar, Store, World};
use bytes::Bytes;
use restante_core::account::ConnectionId;
use restante_core::config::Config;
use restante_core::mailbox::{ContentId, MailboxId, WriterId};
use restante_core::random::{Random, Seed};
use restante_core::seal::{AccountKeys, ContentKind, ContentWriter, ItemKind, Places};
use restante_core::storage::{
    CausalityToken, Item, ItemKey, ObjectKey, PartitionKey, SortKey, StorageError, StorageResponse,
};

const HAS_MAIL: u8 = 1;
const SMALL_LIMITS: u8 = 2;
const STEPS_ARE_CHOSEN: u8 = 4;

const RECORDS_MAX: usize = 12;
const STEPS_MAX: u8 = 32;

const MAIL: &str = "From: Ada <ada@example.org>\r\nSubject: hello\r\n\r\nThe body.\r\n";

const COMMANDS: &[&str] = &[
    "LIST \"\" * RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))",
    "LSUB \"\" *",
    "SELECT INBOX",
    "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    "UID FETCH 1:* (MODSEQ BODY.PEEK[]<3.40> BODY.PEEK[1])",
    "UID SEARCH OR TEXT body HEADER Subject hello",
    "STORE 1:* +FLAGS (\\Deleted k1 k2)",
    "UID COPY 1:* Trash",
    "APPEND INBOX (k3) {9+}\r\nA: b\r\n\r\nc",
    "EXPUNGE",
    "CREATE a/b",
    "RENAME a c",
    "DELETE c",
    "NOOP",
    "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)",
    "CLOSE",
];

/// What can be chosen besides, in no order that makes sense.
const MORE_COMMANDS: &[&str] = &[
    "EXAMINE INBOX (CONDSTORE)",
    "ENABLE QRESYNC",
    "SELECT INBOX (QRESYNC (1 1 1:9))",
    "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
    "UID STORE 1:* (UNCHANGEDSINCE 2) FLAGS (k4)",
    "SEARCH RETURN (ALL COUNT) MODSEQ 1",
    "UID MOVE 1:* Trash",
    "RENAME INBOX old",
    "SUBSCRIBE a",
    "IDLE\r\nDONE",
    "APPEND INBOX {4+}\r\na: b {4+}\r\nc: d",
    "FETCH 1:* BODY[]",
];

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let mut world = World::with_config(1, config(choices & SMALL_LIMITS != 0));
    world.turns_max = 20_000;
    if choices & HAS_MAIL != 0 {
        fill(&mut world);
    }
    let keys = world.keys.clone();
    put_records(&mut world.store, &keys, &mut source);
    let mut steps: &[u8] = &[];
    if choices & STEPS_ARE_CHOSEN != 0 {
        let count = source.byte() % STEPS_MAX;
        steps = source.take(usize::from(count));
    }
    world.store.liar = Some(liar(&world.store, source.rest().to_vec()));

    if choices & STEPS_ARE_CHOSEN != 0 {
        return chosen(&mut world, steps);
    }
    let mut client = world.log_in();
    for (number, command) in COMMANDS.iter().enumerate() {
        if world.is_closed(client) {
            client = world.log_in();
            world.say(client, b"s SELECT INBOX\r\n");
            world.wait_s(60);
            world.read_octets(client);
            if world.is_closed(client) {
                client = world.log_in();
            }
        }
        ask(&mut world, client, &format!("c{number}"), command);
    }
}

/// Two clients say any commands, one at a time, mail comes, and the server dies and starts
/// again.
fn chosen(world: &mut World, steps: &[u8]) {
    let mut clients = [world.log_in(), world.log_in()];
    for (number, step) in steps.iter().enumerate() {
        let speaks = usize::from(step >> 7);
        for client in &mut clients {
            if world.is_closed(*client) {
                *client = world.log_in();
            }
        }
        let step = usize::from(step & 0x7f);
        let commands = COMMANDS.iter().chain(MORE_COMMANDS);
        let count = COMMANDS.len() + MORE_COMMANDS.len();
        if let Some(command) = commands.clone().nth(step % (count + 4)) {
            ask(world, clients[speaks], &format!("c{number}"), command);
            continue;
        }
        match step % (count + 4) - count {
            0 => world.wait_s(60),
            1 => world.end_input(clients[speaks]),
            2 => deliver(world),
            _ => {
                world.restart();
                clients = [world.log_in(), world.log_in()];
            }
        }
    }
}

/// A mail server comes with a message. It is told what became of it.
fn deliver(world: &mut World) {
    let id = world.connect_lmtp();
    let command =
        format!("LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nDATA\r\n{MAIL}.\r\nQUIT\r\n");
    let mut said = world.say(id, command.as_bytes());
    world.wait_s(600);
    said += &world.read(id);
    assert!(world.is_closed(id), "nobody is waited for for ever");
    let last = said.lines().rev().take(2);
    let last: Vec<_> = last.map(|line| line.get(..1)).collect();
    // QUIT, and before it the message.
    let is_told = last[0] == Some("2") && last.len() == 2 && last[1] != Some("3");
    assert!(is_told, "{said}");
}

/// A command is answered once, at once or after some time, or else the connection ends.
fn ask(world: &mut World, client: ConnectionId, tag: &str, command: &str) {
    let mut said = world.say_octets(client, format!("{tag} {command}\r\n").as_bytes());
    let mut closed = world.is_closed(client);
    let answers = |said: &[u8], closed| {
        let responses = responses(said, closed);
        let answers = responses.iter().filter(|it| it.first == tag.as_bytes());
        answers.count()
    };
    if !closed && !said.ends_with(b"\r\n") || answers(&said, true) == 0 {
        world.wait_s(120);
        said.extend(world.read_octets(client));
        closed = world.is_closed(client);
    }
    let answers = answers(&said, closed);
    assert!(answers <= 1, "{command} is answered {answers} times");
    assert!(closed || answers == 1, "{command} is never answered");
}

fn config(small: bool) -> Config {
    let usual = Config {
        log_page_items: 16,
        ..Config::default()
    };
    if !small {
        return usual;
    }
    Config {
        checkpoint_operations_min: 4,
        log_page_items: 2,
        log_news_items: 1,
        summary_batch_items_max: 1,
        summary_item_bytes_max: 16,
        chunk_bytes: 32,
        prefetch_objects_max: 2,
        keywords_max: 3,
        mailboxes_max: 6,
        messages_max: 4,
        ..usual
    }
}

/// Two messages by an honest server, which then dies.
fn fill(world: &mut World) {
    let client = world.log_in();
    for flags in ["(\\Seen k0)", "()"] {
        let command = format!("p APPEND INBOX {flags} {{{}+}}\r\n{MAIL}\r\n", MAIL.len());
        world.say(client, command.as_bytes());
    }
    world.say(client, b"p CREATE Trash\r\n");
    world.restart();
}

/// What records speak of.
struct Forger<'a> {
    keys: &'a AccountKeys,
    places: Places,
    inbox: MailboxId,
    random: Random,
}

fn put_records(store: &mut Store, keys: &AccountKeys, source: &mut Source<'_>) {
    let mut inbox = [0; 16];
    inbox.copy_from_slice(&keys.identifier("initial mailbox", &[0])[..16]);
    let mut forger = Forger {
        keys,
        places: Places::new(keys.account()),
        inbox: MailboxId(inbox),
        random: Random::new(Seed::new([3; 32])),
    };
    for _ in 0..RECORDS_MAX {
        let kind = source.byte();
        if kind == 0 || source.is_empty() {
            break;
        }
        forger.put(store, kind, source);
    }
}

impl Forger<'_> {
    fn put(&mut self, store: &mut Store, kind: u8, source: &mut Source<'_>) {
        let of_directory = kind & 0x80 != 0;
        match kind % 8 {
            0 | 1 => {
                let writer = WriterId([source.byte(); 16]);
                let seq = match source.byte() {
                    0xff => u64::MAX,
                    seq => u64::from(seq),
                };
                let sort = self.places.operation(writer, seq);
                let sealed_as = match of_directory {
                    true => ItemKind::DirectoryOperation,
                    false => ItemKind::Operation,
                };
                self.put_item(store, of_directory, sort, sealed_as, source.octets());
            }
            2 => {
                let id = source.byte();
                self.put_pointer(store, of_directory, id, source.octets());
            }
            3 => {
                let id = source.byte();
                self.put_checkpoint(store, id, source.octets());
            }
            4 => {
                let id = source.byte();
                let plaintext = source.octets();
                self.put_checkpoint(store, id, plaintext);
                let pointer = pointer(id, plaintext.len());
                self.put_pointer(store, of_directory, id, &pointer);
            }
            5 => {
                let key = ItemKey {
                    partition: self.log(of_directory),
                    sort: SortKey(String::from_utf8_lossy(source.octets()).into_owned()),
                };
                store
                    .items
                    .insert(key, Bytes::copy_from_slice(source.octets()));
            }
            6 => {
                let plaintext = source.octets();
                let keys = store.items.keys();
                let summaries = self.places.summaries();
                let key = keys
                    .filter(|key| key.partition == summaries)
                    .nth(0)
                    .cloned();
                if let Some(key) = key {
                    let kind = ItemKind::Summary;
                    let sealed = self.keys.seal_item(&key, kind, plaintext, &mut self.random);
                    store.items.insert(key, sealed);
                }
            }
            _ => damage_object(store, source),
        }
    }

    fn log(&self, of_directory: bool) -> PartitionKey {
        match of_directory {
            true => self.places.directory(),
            false => self.places.log(self.inbox),
        }
    }

    fn put_item(
        &mut self,
        store: &mut Store,
        of_directory: bool,
        sort: SortKey,
        kind: ItemKind,
        plaintext: &[u8],
    ) {
        let partition = self.log(of_directory);
        let key = ItemKey { partition, sort };
        let sealed = self.keys.seal_item(&key, kind, plaintext, &mut self.random);
        store.items.insert(key, sealed);
    }

    fn put_pointer(&mut self, store: &mut Store, of_directory: bool, id: u8, plaintext: &[u8]) {
        let SortKey(start) = self.places.checkpoint_pointer();
        let writer = WriterId([id; 16]);
        let sort = SortKey(format!("{start}/{:016x}/{writer}", u64::from(id)));
        let kind = match of_directory {
            true => ItemKind::DirectoryCheckpointPointer,
            false => ItemKind::CheckpointPointer,
        };
        self.put_item(store, of_directory, sort, kind, plaintext);
    }

    fn put_checkpoint(&mut self, store: &mut Store, id: u8, plaintext: &[u8]) {
        let content = ContentId([id; 16]);
        let kind = ContentKind::Checkpoint;
        let mut writer = ContentWriter::new(self.keys, kind, content, 64, &mut self.random);
        let mut object = Vec::new();
        writer.write(plaintext, &mut object);
        writer.end_body(&mut object);
        writer.finish(&[], &mut object);
        store
            .objects
            .insert(self.places.checkpoint(content), object.into());
    }
}

/// The pointer to a checkpoint, which covers nothing and has shown nothing.
fn pointer(id: u8, bytes: usize) -> Vec<u8> {
    let mut pointer = vec![1];
    pointer.extend([id; 16]);
    let mut bytes = bytes;
    while bytes >= 0x80 {
        pointer.push(bytes as u8 | 0x80);
        bytes >>= 7;
    }
    pointer.extend([bytes as u8, 0, 1, 0]);
    pointer
}

fn damage_object(store: &mut Store, source: &mut Source<'_>) {
    let number = usize::from(source.byte());
    let at = usize::from(source.number());
    let with = source.byte();
    let count = store.objects.len().max(1);
    if let Some(object) = store.objects.values_mut().nth(number % count) {
        let mut bytes = object.to_vec();
        match bytes.get_mut(at) {
            // That would change nothing: it is cut here, also inside a chunk.
            Some(_) if with == 0 => bytes.truncate(at),
            Some(byte) => *byte ^= with,
            None => bytes.truncate(at / 2),
        }
        *object = bytes.into();
    }
}

/// Lies as long as `data` says how, then is honest.
fn liar(store: &Store, data: Vec<u8>) -> Liar {
    let stored: Vec<(ItemKey, Bytes)> = store
        .items
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let objects: Vec<ObjectKey> = store.objects.keys().cloned().collect();
    let mut position = 0;
    Box::new(move |_, honest| {
        let mut source = Source::new(&data[position..]);
        let before = data.len() - position;
        let answer = lie(&mut source, honest, &stored, &objects);
        position += before - source.len();
        answer
    })
}

fn lie(
    source: &mut Source<'_>,
    honest: StorageResponse,
    stored: &[(ItemKey, Bytes)],
    objects: &[ObjectKey],
) -> StorageResponse {
    let choice = source.byte();
    if choice < 0x60 {
        return honest;
    }
    match choice % 13 {
        0 => StorageResponse::Failed(StorageError::NotFound),
        1 => StorageResponse::Failed(StorageError::Full),
        2 => StorageResponse::Failed(StorageError::Refused("no".to_owned())),
        3 => StorageResponse::Failed(StorageError::Unavailable("not now".to_owned())),
        4 => StorageResponse::Done,
        5 => StorageResponse::Polled { seen: None },
        6 => StorageResponse::Items(items(source, stored)),
        7 => StorageResponse::Range {
            items: items(source, stored),
            next: sort_key(source, stored),
        },
        8 => StorageResponse::Objects {
            keys: objects
                .iter()
                .skip(usize::from(source.byte()))
                .cloned()
                .collect(),
            more: source.byte() & 1 != 0,
        },
        9 => StorageResponse::Opened {
            len: match source.number() {
                u16::MAX => u64::MAX,
                len => u64::from(len),
            },
            chunk: Bytes::copy_from_slice(source.octets()),
        },
        10 => StorageResponse::Chunk(Bytes::copy_from_slice(source.octets())),
        _ => twist(source, honest),
    }
}

/// Something that is nearly right.
fn twist(source: &mut Source<'_>, honest: StorageResponse) -> StorageResponse {
    let how = source.byte();
    let cut = |chunk: Bytes| chunk.slice(..chunk.len().min(usize::from(how)));
    let reorder = |mut items: Vec<Item>| {
        match how % 3 {
            0 => items.reverse(),
            1 => items.extend(items.clone()),
            _ => items.iter_mut().for_each(|item| item.values.clear()),
        }
        items
    };
    match honest {
        StorageResponse::Items(items) => StorageResponse::Items(reorder(items)),
        StorageResponse::Range { items, .. } => {
            let next = items.first().map(|item| item.key.sort.clone());
            let next = next.filter(|_| how & 0x80 != 0);
            StorageResponse::Range {
                items: reorder(items),
                next,
            }
        }
        StorageResponse::Chunk(chunk) => StorageResponse::Chunk(cut(chunk)),
        StorageResponse::Opened { len, chunk } => StorageResponse::Opened {
            len: if how & 1 == 0 { len } else { len / 2 },
            chunk: cut(chunk),
        },
        other => other,
    }
}

fn items(source: &mut Source<'_>, stored: &[(ItemKey, Bytes)]) -> Vec<Item> {
    let mut items = Vec::new();
    for _ in 0..source.byte() % 4 {
        let Some((key, value)) = pick(source, stored) else {
            break;
        };
        let values = match source.byte() % 4 {
            0 => Vec::new(),
            1 => vec![value.clone(), value.clone()],
            2 => vec![Bytes::copy_from_slice(source.octets())],
            _ => pick(source, stored)
                .map(|it| it.1.clone())
                .into_iter()
                .collect(),
        };
        items.push(Item {
            key: key.clone(),
            token: CausalityToken("lie".to_owned()),
            values,
        });
    }
    items
}

fn sort_key(source: &mut Source<'_>, stored: &[(ItemKey, Bytes)]) -> Option<SortKey> {
    match source.byte() % 3 {
        0 => None,
        1 => Some(SortKey(
            String::from_utf8_lossy(source.octets()).into_owned(),
        )),
        _ => pick(source, stored).map(|it| it.0.sort.clone()),
    }
}

fn pick<'a>(
    source: &mut Source<'_>,
    stored: &'a [(ItemKey, Bytes)],
) -> Option<&'a (ItemKey, Bytes)> {
    let number = usize::from(source.byte());
    stored.get(number % stored.len().max(1))
}
