# Holdfast's configuration. `holdfastd --check` says whether it is right, and
# the line where it is not.

# What is required of the machine: "hardened" refuses to start where a protection of secrets in memory is missing,
# "standard" warns.
level = "standard"

storage "sqlite" {
  path = "/var/lib/holdfast/holdfast.db"
}

listener "tcp" {
  address       = "127.0.0.1:8200"
  tls_cert_file = "/etc/holdfast/tls/server.crt"
  tls_key_file  = "/etc/holdfast/tls/server.key"
}
