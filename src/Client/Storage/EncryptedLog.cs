using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Marmot.Platform.Files;
using Marmot.Platform.Native;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Client.Storage;

/// <summary>An append-only file of encrypted batches: header, then frames of length u32 | nonce 12 | ciphertext | tag 16.</summary>
/// <remarks>
/// AES-256-GCM under a key of its own for each file: HKDF-SHA256(secret, salt of the file). The associated data of a frame is the header and its number, so frames cannot be moved,
/// dropped or repeated inside the file; a cut tail looks like a crash and is taken for one. One owner.
/// </remarks>
internal sealed class EncryptedLog : IDisposable
{
    private const int SaltSize = 32;
    private const int NonceSize = 12;
    private const int TagSize = 16;
    private const int FrameOverhead = sizeof(uint) + NonceSize + TagSize;
    private const int MaxFrameBytes = 1 << 30;

    // "MRMTSTO1" | kind u8 (0 key file, 1 passphrase) | salt 32 | Argon2id passes u64 | memory bytes u64
    private const int HeaderSize = 8 + 1 + SaltSize + (2 * sizeof(ulong));

    private static ReadOnlySpan<byte> Magic => "MRMTSTO1"u8;

    private readonly string _path;
    private readonly byte[] _master;
    private readonly bool _fromPassphrase;
    private readonly byte[] _passwordSalt;
    private FileStream _file;
    private AesGcm _cipher;
    private byte[] _header;
    private ulong _frames;

    private EncryptedLog(string path, FileStream file, byte[] master, bool fromPassphrase, byte[] passwordSalt, AesGcm cipher, byte[] header)
    {
        _path = path;
        _file = file;
        _master = master;
        _fromPassphrase = fromPassphrase;
        _passwordSalt = passwordSalt;
        _cipher = cipher;
        _header = header;
    }

    /// <summary>Bytes of the file.</summary>
    public long Length { get; private set; }

    /// <summary>The file, for a flush beside other work; another one after <see cref="Rewrite"/>, which leaves everything on disk.</summary>
    public SafeFileHandle Handle => _file.SafeFileHandle;

    /// <summary>Opens or makes the file and plays every whole batch.</summary>
    public static EncryptedLog Open(string path, StoreSecret secret, Action<string, byte[]?> apply)
    {
        AtomicFile.DeleteDrafts(path); // a rewrite that did not get to its rename
        if (!File.Exists(path))
        {
            Create(path, secret);
        }

        var file = OpenFile(path);
        try
        {
            return Load(path, file, secret, apply);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    // With an empty batch, so that the first frame tells a wrong secret from a torn one; written aside, so that a crash leaves no half store.
    private static void Create(string path, StoreSecret secret)
    {
        byte[] salt = RandomNumberGenerator.GetBytes(SaltSize);
        byte[] master = MasterOf(secret, salt.AsSpan(0, PasswordHash.SaltSize), PasswordHash.Passes, PasswordHash.MemoryBytes);
        byte[] header = HeaderOf(salt, secret.IsPassphrase);
        using var cipher = CipherOf(master, salt);
        CryptographicOperations.ZeroMemory(master);
        AtomicFile.TryCreate(path, [.. header, .. Seal(cipher, header, 0, [])], FileModes.OwnerOnlyFile);
    }

    /// <summary>Adds one batch; with <paramref name="durable"/> it is on disk when this returns.</summary>
    public void Append(List<(string Key, byte[]? Value)> changes, bool durable)
    {
        byte[] frame = Seal(_cipher, _header, _frames, changes);
        try
        {
            _file.Position = Length;
            _file.Write(frame);
            _file.Flush(durable);
        }
        catch (IOException)
        {
            // Whatever got there is no frame yet: the next one overwrites it.
            _file.SetLength(Length);
            throw;
        }

        _frames++;
        Length += frame.Length;
    }

    /// <summary>Writes the live values to a new file under a new key and puts it in the old one's place; the old bytes go with the old file.</summary>
    public void Rewrite(IReadOnlyDictionary<string, byte[]> values)
    {
        byte[] salt = RandomNumberGenerator.GetBytes(SaltSize);
        _passwordSalt.CopyTo(salt, 0); // the passphrase is not at hand any more, its derived key is
        var cipher = CipherOf(_master, salt);
        var file = AtomicFile.OpenDraft(_path, FileModes.OwnerOnlyFile);
        byte[] header = HeaderOf(salt, _fromPassphrase);
        byte[] frame = Seal(cipher, header, 0, [.. values.Select(pair => (pair.Key, (byte[]?)pair.Value))]);
        try
        {
            file.Write(header);
            file.Write(frame);
            AtomicFile.Place(file, _path);
        }
        catch (IOException)
        {
            // No space for a second copy: go on with the long one.
            file.Dispose();
            cipher.Dispose();
            File.Delete(file.Name);
            return;
        }

        _file.Dispose();
        _cipher.Dispose();
        (_file, _cipher, _header, _frames, Length) = (file, cipher, header, 1, HeaderSize + frame.Length);
        Folders.FlushFolderOf(_path);
    }

    public void Dispose()
    {
        _file.Dispose();
        _cipher.Dispose();
        CryptographicOperations.ZeroMemory(_master);
    }

    private static EncryptedLog Load(string path, FileStream file, StoreSecret secret, Action<string, byte[]?> apply)
    {
        byte[] header = new byte[HeaderSize];
        file.Position = 0;
        if (file.ReadAtLeast(header, HeaderSize, throwOnEndOfStream: false) < HeaderSize)
        {
            throw new InvalidDataException($"{path}: not a client store");
        }

        bool fromPassphrase = header[8] == 1;
        if (!header.AsSpan(0, 8).SequenceEqual(Magic) || header[8] > 1)
        {
            throw new InvalidDataException($"{path}: not a client store");
        }

        if (fromPassphrase != secret.IsPassphrase)
        {
            throw new InvalidDataException($"{path}: this store is opened by a {(fromPassphrase ? "passphrase" : "key file")}");
        }

        byte[] salt = header[9..(9 + SaltSize)];
        ulong passes = BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(9 + SaltSize));
        ulong memory = BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(9 + SaltSize + sizeof(ulong)));
        byte[] master = MasterOf(secret, salt.AsSpan(0, PasswordHash.SaltSize), passes, memory);
        var log = new EncryptedLog(path, file, master, fromPassphrase, salt[..PasswordHash.SaltSize], CipherOf(master, salt), header) { Length = HeaderSize };
        try
        {
            log.Play(apply);
            return log;
        }
        catch
        {
            log.Dispose();
            throw;
        }
    }

    private void Play(Action<string, byte[]?> apply)
    {
        byte[] lengthBytes = new byte[sizeof(uint)];
        long size = _file.Length;
        while (Length < size)
        {
            _file.Position = Length;
            long left = size - Length;
            uint length = 0;
            if (left >= sizeof(uint))
            {
                _file.ReadExactly(lengthBytes);
                length = BinaryPrimitives.ReadUInt32BigEndian(lengthBytes);
            }

            bool isWhole = left >= sizeof(uint) && length is >= FrameOverhead and <= MaxFrameBytes && length <= left;
            if (isWhole)
            {
                byte[] frame = new byte[length];
                _file.Position = Length;
                _file.ReadExactly(frame);
                isWhole = TryPlayFrame(frame, apply);
                if (!isWhole && Length + length < size)
                {
                    // A crash only ever spoils the last frame.
                    throw new InvalidDataException(Damage());
                }

                if (isWhole)
                {
                    _frames++;
                    Length += length;
                    continue;
                }
            }

            if (_frames == 0)
            {
                throw new InvalidDataException(Damage()); // the first frame opens with the right secret or never
            }

            _file.SetLength(Length);
            return;
        }
    }

    private string Damage() => $"{_path}: the key or passphrase is wrong, or the file is damaged";

    private bool TryPlayFrame(byte[] frame, Action<string, byte[]?> apply)
    {
        byte[] plaintext = new byte[frame.Length - FrameOverhead];
        try
        {
            _cipher.Decrypt(frame.AsSpan(sizeof(uint), NonceSize), frame.AsSpan(sizeof(uint) + NonceSize, plaintext.Length), frame.AsSpan(frame.Length - TagSize), plaintext, DataOf(_header, _frames));
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }

        // Changes: key length u16, key, 0 for a deletion or 1 and value length u32, value.
        ReadOnlySpan<byte> rest = plaintext;
        while (!rest.IsEmpty)
        {
            int keyLength = BinaryPrimitives.ReadUInt16BigEndian(rest);
            string key = Encoding.UTF8.GetString(rest.Slice(2, keyLength));
            bool hasValue = rest[2 + keyLength] == 1;
            rest = rest[(3 + keyLength)..];
            byte[]? value = null;
            if (hasValue)
            {
                int valueLength = BinaryPrimitives.ReadInt32BigEndian(rest);
                value = rest.Slice(sizeof(int), valueLength).ToArray();
                rest = rest[(sizeof(int) + valueLength)..];
            }

            apply(key, value);
        }

        CryptographicOperations.ZeroMemory(plaintext);
        return true;
    }

    private static byte[] Seal(AesGcm cipher, byte[] header, ulong number, IReadOnlyList<(string Key, byte[]? Value)> changes)
    {
        int size = 0;
        foreach (var (key, value) in changes)
        {
            size = checked(size + 3 + Encoding.UTF8.GetByteCount(key) + (value is null ? 0 : sizeof(int) + value.Length));
        }

        byte[] plaintext = new byte[size];
        var rest = plaintext.AsSpan();
        foreach (var (key, value) in changes)
        {
            int keyLength = Encoding.UTF8.GetBytes(key, rest[2..]);
            BinaryPrimitives.WriteUInt16BigEndian(rest, checked((ushort)keyLength));
            rest[2 + keyLength] = value is null ? (byte)0 : (byte)1;
            rest = rest[(3 + keyLength)..];
            if (value is not null)
            {
                BinaryPrimitives.WriteInt32BigEndian(rest, value.Length);
                value.CopyTo(rest[sizeof(int)..]);
                rest = rest[(sizeof(int) + value.Length)..];
            }
        }

        byte[] frame = new byte[checked(FrameOverhead + size)];
        BinaryPrimitives.WriteUInt32BigEndian(frame, (uint)frame.Length);
        RandomNumberGenerator.Fill(frame.AsSpan(sizeof(uint), NonceSize));
        cipher.Encrypt(frame.AsSpan(sizeof(uint), NonceSize), plaintext, frame.AsSpan(sizeof(uint) + NonceSize, size), frame.AsSpan(frame.Length - TagSize), DataOf(header, number));
        CryptographicOperations.ZeroMemory(plaintext);
        return frame;
    }

    private static byte[] DataOf(byte[] header, ulong frame)
    {
        byte[] data = [.. header, .. stackalloc byte[sizeof(ulong)]];
        BinaryPrimitives.WriteUInt64BigEndian(data.AsSpan(header.Length), frame);
        return data;
    }

    private static byte[] MasterOf(StoreSecret secret, ReadOnlySpan<byte> passwordSalt, ulong passes, ulong memory) =>
        secret.IsPassphrase ? PasswordHash.DeriveKey(secret.Bytes, passwordSalt, passes, memory) : secret.Bytes.ToArray();

    private static AesGcm CipherOf(byte[] master, byte[] salt)
    {
        Span<byte> key = stackalloc byte[PasswordHash.KeySize];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, master, key, salt, "marmot client store v1"u8);
        var cipher = new AesGcm(key, TagSize);
        CryptographicOperations.ZeroMemory(key);
        return cipher;
    }

    private static byte[] HeaderOf(byte[] salt, bool fromPassphrase)
    {
        byte[] header = new byte[HeaderSize];
        Magic.CopyTo(header);
        header[8] = fromPassphrase ? (byte)1 : (byte)0;
        salt.CopyTo(header, 9);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(9 + SaltSize), PasswordHash.Passes);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(9 + SaltSize + sizeof(ulong)), PasswordHash.MemoryBytes);
        return header;
    }

    private static FileStream OpenFile(string path) =>
        new(path, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 });
}
