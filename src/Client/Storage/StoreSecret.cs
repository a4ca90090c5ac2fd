using System.Security.Cryptography;
using Marmot.Platform.Files;
using Marmot.Platform.Native;

namespace Marmot.Client.Storage;

/// <summary>What opens a client store: a key file or a passphrase. Dispose wipes it.</summary>
public sealed class StoreSecret : IDisposable
{
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

        byte[] bytes = SecretFile.Read(path);
        if (bytes.Length != PasswordHash.KeySize)
        {
            CryptographicOperations.ZeroMemory(bytes);
            throw new InvalidDataException($"{path}: a key file has {PasswordHash.KeySize} bytes");
        }

        return new StoreSecret(bytes, isPassphrase: false);
    }

    /// <summary>Wipes it.</summary>
    public void Dispose() => CryptographicOperations.ZeroMemory(_bytes);

    // When another process was first, its key counts.
    private static void Create(string path)
    {
        byte[] bytes = RandomNumberGenerator.GetBytes(PasswordHash.KeySize);
        AtomicFile.TryCreate(path, bytes, FileModes.OwnerOnlyFile);
        CryptographicOperations.ZeroMemory(bytes);
    }
}
