//! The bytes of a message, of every method of the contract.

use chassis::contract;
use prost::Message as _;
use prost_reflect::DynamicMessage;

/// They are a message of the method or none; what can be read is read again from what it is written as.
///
/// # Panics
/// Where decoding does, or what was read is not what is written.
pub fn message(input: &[u8]) {
    let Some((which, body)) = input.split_first() else { return };
    let methods: Vec<_> = contract::methods().collect();
    let Some(method) = methods.get(usize::from(*which) % methods.len().max(1)) else { return };
    let descriptor = contract::pool().get_message_by_name(&method.input);
    assert!(descriptor.is_some(), "{} has no input", method.path);
    let Some(descriptor) = descriptor else { return };
    if let Ok(message) = DynamicMessage::decode(descriptor.clone(), body) {
        let written = message.encode_to_vec();
        let again = DynamicMessage::decode(descriptor, written.as_slice());
        assert_eq!(again.map(|again| again.encode_to_vec()).ok(), Some(written), "{}", method.path);
        let mut faults = chassis::Faults::new();
        chassis::texts::check(&mut faults, "", &method.input, body);
    }
}
