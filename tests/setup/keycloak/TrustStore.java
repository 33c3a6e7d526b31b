import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;

/**
 * Makes a trust store of the certificates in PEM files: Java does not read the bundle that everything else trusts.
 *
 * <p>Called with the store to make, and the PEM files. The password is Java's usual one; nothing in it is secret.
 */
public final class TrustStore {
    public static void main(String[] paths) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        for (int index = 1; index < paths.length; index++) {
            try (InputStream pem = Files.newInputStream(Path.of(paths[index]))) {
                for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
                    store.setCertificateEntry("authority-" + store.size(), certificate);
                }
            }
        }
        try (OutputStream out = Files.newOutputStream(Path.of(paths[0]))) {
            store.store(out, "changeit".toCharArray());
        }
    }
}
