using System.Security.Cryptography;

namespace Marmot.NotifyServer.Simulators;

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
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(_folder);
        else Directory.CreateDirectory(_folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    public string CaFile => Path.Combine(_folder, "ca.pem");
    public string ServiceAccountFile => Path.Combine(_folder, "service-account.json");
    public string KeyFile(string keyId) => Path.Combine(_folder, $"AuthKey_{keyId}.p8");

    public SimulatorAuthority LoadOrCreateAuthority(IReadOnlyList<string> hostNames)
    {
        var privateFile = Path.Combine(_folder, "ca-private.pem");
        SimulatorAuthority authority;
        if (File.Exists(privateFile))
        {
            authority = SimulatorAuthority.Load(File.ReadAllText(privateFile), hostNames);
        }
        else
        {
            authority = SimulatorAuthority.Create(hostNames);
            WriteSecret(privateFile, authority.ExportPrivatePem(), FileMode.CreateNew);
        }
        if (!File.Exists(CaFile)) File.WriteAllText(CaFile, authority.CaCertificatePem);
        return authority;
    }

    public ECDsa LoadOrCreateApnsKey(string keyId)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        if (File.Exists(KeyFile(keyId))) key.ImportFromPem(File.ReadAllText(KeyFile(keyId)));
        else WriteSecret(KeyFile(keyId), key.ExportPkcs8PrivateKeyPem() + "\n", FileMode.CreateNew);
        return key;
    }

    public RSA LoadOrCreateServiceAccountKey()
    {
        var file = Path.Combine(_folder, "service-account-key.pem");
        var key = RSA.Create(2048);
        if (File.Exists(file)) key.ImportFromPem(File.ReadAllText(file));
        else WriteSecret(file, key.ExportPkcs8PrivateKeyPem() + "\n", FileMode.CreateNew);
        return key;
    }

    public void WriteServiceAccount(string json) => WriteSecret(ServiceAccountFile, json, FileMode.Create);

    private static void WriteSecret(string file, string text, FileMode mode)
    {
        using var stream = new FileStream(file, OwnerOnly(mode));
        stream.Write(System.Text.Encoding.UTF8.GetBytes(text));
    }

    /// <summary>Write access to a file that is 0600 from its first moment, where the system knows modes.</summary>
    internal static FileStreamOptions OwnerOnly(FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.Write, Share = FileShare.Read };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }
}
