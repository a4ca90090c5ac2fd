using System.Security.Cryptography;

namespace Marmot.Client.Storage;

/// <summary>What opens a client store: a key file or a passphrase. Dispose wipes it.</summary>
public sealed class StoreSecret : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private readonly byte[] _bytes;

    private StoreSecret(byte[] bytes, bool isPassphrase) => (_bytes, IsPassphrase) = (bytes, isPassphrase);

    /// <summary>True when Argon2id stands between it and the store's key.</summary>
    public bool IsPassphrase { get; }

    internal ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>A passphrase, UTF-8; the caller's copy stays the caller's.</summary>
    /// <exception cref="ArgumentException">It is empty.</exception>
    public static StoreSecret FromPassphrase(ReadOnlySpan<char> passphrase)
    {
        if (passphrase.IsEmpty)
        {
            throw new ArgumentException("the passphrase is empty", nameof(passphrase));
        }

        byte[] bytes = new byte[System.Text.Encoding.UTF8.GetByteCount(passphrase)];
        System.Text.Encoding.UTF8.GetBytes(passphrase, bytes);
        return new StoreSecret(bytes, isPassphrase: true);
    }

    /// <summary>A file of 32 random bytes, made with mode 0600 when it is missing. Keep it apart from the store's backups.</summary>
    /// <exception cref="InvalidDataException">It has another length, or other users may read it.</exception>
    public static StoreSecret FromKeyFile(string path)
    {
        if (!File.Exists(path))
        {
            Create(path);
        }

        using var handle = File.OpenHandle(path);
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(handle) & ~OwnerOnly) != 0)
        {
            throw new InvalidDataException($"{path}: other users may read this key; chmod 600 it");
        }

        if (RandomAccess.GetLength(handle) != PasswordHash.KeySize)
        {
            throw new InvalidDataException($"{path}: a key file has {PasswordHash.KeySize} bytes");
        }

        byte[] bytes = new byte[PasswordHash.KeySize];
        RandomAccess.Read(handle, bytes, 0);
        return new StoreSecret(bytes, isPassphrase: false);
    }

    /// <summary>Wipes it.</summary>
    public void Dispose() => CryptographicOperations.ZeroMemory(_bytes);

    // Written aside and moved, so that a crash leaves no half key.
    private static void Create(string path)
    {
        byte[] bytes = RandomNumberGenerator.GetBytes(PasswordHash.KeySize);
        string aside = $"{path}.{Guid.NewGuid():N}.new";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        try
        {
            using (var file = new FileStream(aside, options))
            {
                file.Write(bytes);
                file.Flush(flushToDisk: true);
            }

            File.Move(aside, path, overwrite: false);
        }
        catch (IOException) when (File.Exists(path))
        {
            File.Delete(aside); // another process was first; its key counts
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }
}
