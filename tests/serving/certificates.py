"""Certificates as PEM files."""

import trustme


def write_certificates(folder, *names):
    """Makes an authority; gives its file, and of each name those of certificate and key."""
    authority, ca = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    pairs = []
    for name in names:
        issued = authority.issue_cert(name)
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        issued.private_key_pem.write_to_path(key)
        for part in issued.cert_chain_pems:
            part.write_to_path(cert, append=True)
        pairs.append((cert, key))
    return ca, *pairs
