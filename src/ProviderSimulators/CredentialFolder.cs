using System.Security.Cryptography;
using System.Text;
using Marmot.Platform.Files;

namespace Marmot.ProviderSimulators;

/// <summary>
/// The folder behind <c>--write-credentials</c>: CA and keys, made on the first run and kept on later ones, so that a server
/// configured once stays configured. Secret files are 0600; nothing that exists is overwritten, apart from the service
/// account file, which names the port.
/// </summary>
internal sealed class CredentialFolder
{
    private readonly string _folder;

    public CredentialFolder(string folder)
    {
        _folder = Path.GetFullPath(folder);
        Folders.CreateOwnerOnly(_folder);
    }

    public string CaFile => Path.Combine(_folder, "ca.pem");
    public string ServiceAccountFile => Path.Combine(_folder, "service-account.json");
    public string KeyFile(string keyId) => Path.Combine(_folder, $"AuthKey_{keyId}.p8");

    public SimulatorAuthority LoadOrCreateAuthority(IReadOnlyList<string> hostNames)
    {
        var authority = SimulatorAuthority.Load(ReadOrCreate(Path.Combine(_folder, "ca-private.pem"), MakeAuthority), hostNames);
        ReadOrCreate(CaFile, () => authority.CaCertificatePem, secret: false);
        return authority;
    }

    public ECDsa LoadOrCreateApnsKey(string keyId)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        key.ImportFromPem(ReadOrCreate(KeyFile(keyId), () => key.ExportPkcs8PrivateKeyPem() + "\n"));
        return key;
    }

    public RSA LoadOrCreateServiceAccountKey()
    {
        var key = RSA.Create(2048);
        key.ImportFromPem(ReadOrCreate(Path.Combine(_folder, "service-account-key.pem"), () => key.ExportPkcs8PrivateKeyPem() + "\n"));
        return key;
    }

    public void WriteServiceAccount(string json) => AtomicFile.Replace(ServiceAccountFile, Encoding.UTF8.GetBytes(json), FileModes.OwnerOnlyFile);

    private static string MakeAuthority()
    {
        using var authority = SimulatorAuthority.Create();
        return authority.ExportPrivatePem();
    }

    /// <summary>The file's text. Both simulators may start on one folder at the same moment: whoever comes second takes what is there, whole.</summary>
    private static string ReadOrCreate(string file, Func<string> make, bool secret = true)
    {
        if (File.Exists(file)) return File.ReadAllText(file);
        AtomicFile.TryCreate(file, Encoding.UTF8.GetBytes(make()), secret ? FileModes.OwnerOnlyFile : null);
        return File.ReadAllText(file);
    }

    /// <summary>Write access to a file that is 0600 from its first moment, where the system knows modes.</summary>
    internal static FileStreamOptions OwnerOnly(FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.Write, Share = FileShare.Read };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }
}
