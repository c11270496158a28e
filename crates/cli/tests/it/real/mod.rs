//! Real stacks, beside each other: what is proven of them, brought up, asked and written down.

mod add_a_stack;
mod admin;
mod freeze;
mod main_job;
mod rabbitmq;
mod schemathesis;
