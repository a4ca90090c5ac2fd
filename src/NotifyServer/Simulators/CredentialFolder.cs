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

    public void WriteServiceAccount(string json)
    {
        var draft = WriteDraft(ServiceAccountFile, json, secret: true);
        File.Move(draft, ServiceAccountFile, overwrite: true);
    }

    private static string MakeAuthority()
    {
        using var authority = SimulatorAuthority.Create();
        return authority.ExportPrivatePem();
    }

    /// <summary>The file's text. Both simulators may start on one folder at the same moment: whoever comes second takes what is there, whole.</summary>
    private static string ReadOrCreate(string file, Func<string> make, bool secret = true)
    {
        if (File.Exists(file)) return File.ReadAllText(file);
        var draft = WriteDraft(file, make(), secret);
        try
        {
            File.Move(draft, file, overwrite: false);
        }
        catch (IOException) when (File.Exists(file))
        {
            File.Delete(draft);
        }
        return File.ReadAllText(file);
    }

    private static string WriteDraft(string file, string text, bool secret)
    {
        var draft = $"{file}.{Guid.NewGuid():N}";
        using var stream = new FileStream(draft, secret ? OwnerOnly(FileMode.CreateNew) : new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write });
        stream.Write(System.Text.Encoding.UTF8.GetBytes(text));
        return draft;
    }

    /// <summary>Write access to a file that is 0600 from its first moment, where the system knows modes.</summary>
    internal static FileStreamOptions OwnerOnly(FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.Write, Share = FileShare.Read };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }
}
