using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Marmot.ProviderSimulators;

/// <summary>
/// A throw-away certificate authority and the server certificate under it. It signs for loopback and the names given, nothing
/// else is to trust it; hand its PEM to the program under test as a private CA file.
/// </summary>
public sealed class SimulatorAuthority : IDisposable
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private static readonly TimeSpan Lifetime = TimeSpan.FromDays(365);

    private readonly X509Certificate2 _authority;

    private SimulatorAuthority(X509Certificate2 authority, X509Certificate2 server)
    {
        _authority = authority;
        ServerCertificate = server;
        CaCertificate = X509CertificateLoader.LoadCertificate(authority.RawData);
    }

    /// <summary>The CA without its private key.</summary>
    public X509Certificate2 CaCertificate { get; }

    public string CaCertificatePem => CaCertificate.ExportCertificatePem() + "\n";

    internal X509Certificate2 ServerCertificate { get; }

    /// <summary>The CA with its private key, to be kept between runs of the command line simulators.</summary>
    internal string ExportPrivatePem() => CaCertificatePem + _authority.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem() + "\n";

    internal static SimulatorAuthority Create(IEnumerable<string>? hostNames = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=marmot push simulator CA (test only)", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var now = DateTimeOffset.UtcNow;
        return Issue(request.CreateSelfSigned(now.AddDays(-1), now + Lifetime), hostNames);
    }

    internal static SimulatorAuthority Load(string privatePem, IEnumerable<string>? hostNames = null) =>
        Issue(X509Certificate2.CreateFromPem(privatePem, privatePem), hostNames);

    private static SimulatorAuthority Issue(X509Certificate2 authority, IEnumerable<string>? hostNames)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=marmot push simulator", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        foreach (var name in hostNames ?? [])
        {
            if (IPAddress.TryParse(name, out var address)) names.AddIpAddress(address);
            else names.AddDnsName(name);
        }
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(ServerAuthentication)], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, true, false));
        using var server = request.Create(authority, DateTimeOffset.UtcNow.AddDays(-1), authority.NotAfter, RandomNumberGenerator.GetBytes(16));
        using var withKey = server.CopyWithPrivateKey(key);
        // Through PKCS#12: SslStream on some systems does not take ephemeral keys.
        return new SimulatorAuthority(authority, X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), null));
    }

    public void Dispose()
    {
        _authority.Dispose();
        CaCertificate.Dispose();
        ServerCertificate.Dispose();
    }
}
