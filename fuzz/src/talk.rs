//! A client that sends what the fuzzer says and reads as it likes.

use super::world::World;
use restante_core::account::ConnectionId;

/// Sends the pieces; all that came back. After each of them something else happens. While
/// the client reads slowly, no more than `answers_bytes` octets beyond `transmit_bytes_max`
/// may be held for it.
pub(crate) fn talk(
    world: &mut World,
    client: ConnectionId,
    pieces: &[&[u8]],
    slowly: bool,
    answers_bytes: usize,
    mut meanwhile: impl FnMut(&mut World),
) -> Vec<u8> {
    let limit = world.config.transmit_bytes_max + answers_bytes;
    let mut said = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        if slowly {
            world.set_window(client, number % 3 * 40);
            said.extend(world.read_octets(client));
        }
        said.extend(world.say_octets(client, piece));
        meanwhile(world);
        said.extend(world.read_octets(client));
        let held = world.held_for(client);
        assert!(held <= limit, "{held} octets are held for a slow client");
    }
    world.set_window(client, usize::MAX);
    said.extend(world.read_octets(client));
    said
}
