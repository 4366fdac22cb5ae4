//! The binary of the gateway.

fn main() -> std::process::ExitCode {
    chassis::cli::<gateway::Gateway>()
}
