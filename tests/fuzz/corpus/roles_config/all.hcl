level = "hardened"
fronts = 3
secret_memory = "64MiB"
default_lease_ttl = "1h"
audit_durability = "strict"
storage "sqlite" { path = "/d/h.db" }
listener "tcp" {
  address = "[::]:8200"
  tls_cert_file = ["/a", "/b"]
  tls_key_file = ["/c", "/d"]
  tls_client_ca_file = "/e"
}
listener "tcp" {
  address = "127.0.0.1:1"
  tls_disable = true
}
seal "shamir" {}
limits { body_bytes_max = "1 MiB" }
