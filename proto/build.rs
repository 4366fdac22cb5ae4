//! Compiles every contract below `shixun/`, keeps the encoded descriptor set, and derives what the contract implies:
//! for each mutation's request, how to read its `request_id` and how to leave it out of the body's digest.

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::Path, path::PathBuf};

use prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    collect(&root.join("shixun"), &mut files)?;
    files.sort();
    println!("cargo:rerun-if-changed=shixun");
    println!("cargo:rerun-if-changed=third_party");

    let mut compiler = protox::Compiler::new([root.clone(), root.join("third_party")])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    // The encoded set keeps the custom options, which prost-types' own structs would lose.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("commented.bin"), &encoded)?;
    fs::write(out.join("descriptor.bin"), compiler.include_source_info(false).encode_file_descriptor_set())?;

    let pool = DescriptorPool::decode(encoded.as_slice())?;
    fs::write(out.join("request_id.rs"), request_ids(&pool)?)?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().btree_map(["."]);
    let set = prost_types_of(&encoded)?;
    tonic_prost_build::configure()
        .build_transport(true)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(set, config)?;
    Ok(())
}

fn prost_types_of(encoded: &[u8]) -> Result<tonic_prost_build::FileDescriptorSet, Box<dyn Error>> {
    Ok(tonic_prost_build::FileDescriptorSet::decode(encoded)?)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// One `impl AnyRequest` for every request message of ours, and one `impl RequestId` for each that has the field.
fn request_ids(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let inputs: BTreeMap<String, MessageDescriptor> = pool
        .services()
        .flat_map(|service| service.methods().map(|method| method.input()).collect::<Vec<_>>())
        .map(|input| (input.full_name().to_owned(), input))
        .collect();
    for message in inputs.values() {
        let Some(package) = message.package_name().strip_prefix("shixun.") else {
            continue;
        };
        let path = format!("crate::{}::{}", package.replace('.', "::"), message.name());
        let has_id = message.get_field_by_name("request_id").is_some();
        let id = if has_id { "Some(&self.request_id)" } else { "None" };
        writeln!(
            text,
            "impl crate::AnyRequest for {path} {{
                fn request_id(&self) -> Option<&str> {{ {id} }}
            }}"
        )?;
        if has_id {
            writeln!(
                text,
                "impl crate::RequestId for {path} {{
                    fn take_request_id(&mut self) -> String {{ std::mem::take(&mut self.request_id) }}
                }}"
            )?;
        }
    }
    Ok(text)
}
