//! Says of each state on standard input, one a line in JSON, what nmstate itself refuses in it; an empty line means that
//! it would be applied. Before a tab stands the state as a policy has it, after it the same with what the node has.

use std::io::BufRead;

fn refusal(declared: &str, on_node: &str) -> Result<(), nmstate::NmstateError> {
    nmstate::NetworkState::new_from_json(declared)?;
    nmstate::NetworkState::new_from_json(on_node)?.gen_conf()?;
    Ok(())
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is text");
        let (declared, on_node) = line.split_once('\t').expect("two states, with a tab between");
        let said = refusal(declared, on_node).err().map(|error| error.to_string());
        println!("{}", said.unwrap_or_default().replace('\n', " "));
    }
}
