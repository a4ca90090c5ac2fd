using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Marmot.Client.Storage;

/// <summary>
/// The small file beside the log that says how much of it is on disk. It tells a last frame that was damaged from one that a crash tore, and a log that was put
/// back from a copy from the one that was written last (docs/decisions/0022). Written after each flush of the log and not flushed itself: after a crash it may
/// lag behind, never run ahead. One owner.
/// </summary>
/// <remarks>"MRMTMRK1", salt of the log 32, generation u64, flushed frames u64, identity of the log u64, time i64, HMAC-SHA256 32; big-endian. One sector, so
/// that it is written whole.</remarks>
internal sealed class StoreMark : IDisposable
{
    /// <summary>The file system and this process may read the clock at slightly different times.</summary>
    private const long MaxTimeApartSeconds = 10;

    private const int TagSize = 32;
    private const int SaltSize = 32;
    private const int Size = 8 + SaltSize + (4 * sizeof(ulong)) + TagSize;

    private readonly StoreFile _file;
    private readonly byte[] _key = new byte[32];

    private StoreMark(StoreFile file, ReadOnlySpan<byte> master)
    {
        _file = file;
        HKDF.DeriveKey(HashAlgorithmName.SHA256, master, _key, [], "marmot client store mark v1"u8);
    }

    private static ReadOnlySpan<byte> Magic => "MRMTMRK1"u8;

    /// <summary>Opens the mark of a log, or makes an empty one.</summary>
    internal static StoreMark Open(string path, ReadOnlySpan<byte> master, IStoreRecorder? recorder) =>
        new(File.Exists(path) ? StoreFile.Open(path, recorder) : StoreFile.Create(path, recorder), master);

    /// <summary>What it says; null when it says nothing or was changed.</summary>
    internal Content? Read(string path)
    {
        byte[] bytes = new byte[Size];
        if (_file.Read(bytes, 0) < Size || !bytes.AsSpan(0, 8).SequenceEqual(Magic)
            || !CryptographicOperations.FixedTimeEquals(HMACSHA256.HashData(_key, bytes.AsSpan(0, Size - TagSize)), bytes.AsSpan(Size - TagSize)))
        {
            return null;
        }

        var numbers = bytes.AsSpan(8 + SaltSize);
        long writtenAt = BinaryPrimitives.ReadInt64BigEndian(numbers[24..]);
        var own = FileIdentity.Of(path);
        return new Content(
            bytes[8..(8 + SaltSize)],
            BinaryPrimitives.ReadUInt64BigEndian(numbers),
            BinaryPrimitives.ReadUInt64BigEndian(numbers[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(numbers[16..]),
            own.ChangedAt == 0 || Math.Abs(own.ChangedAt - writtenAt) <= MaxTimeApartSeconds);
    }

    /// <summary>Says that so many frames of a log are on disk.</summary>
    internal void Write(ReadOnlySpan<byte> salt, ulong generation, ulong flushed, ulong identity)
    {
        byte[] bytes = new byte[Size];
        Magic.CopyTo(bytes);
        salt.CopyTo(bytes.AsSpan(8));
        var numbers = bytes.AsSpan(8 + SaltSize);
        BinaryPrimitives.WriteUInt64BigEndian(numbers, generation);
        BinaryPrimitives.WriteUInt64BigEndian(numbers[8..], flushed);
        BinaryPrimitives.WriteUInt64BigEndian(numbers[16..], identity);

        // The file system's clock is the system's, whatever clock the client was given.
        BinaryPrimitives.WriteInt64BigEndian(numbers[24..], TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());
        HMACSHA256.HashData(_key, bytes.AsSpan(0, Size - TagSize), bytes.AsSpan(Size - TagSize));
        _file.Write(bytes, 0);
    }

    public void Flush() => _file.Flush();

    public void Dispose()
    {
        _file.Dispose();
        CryptographicOperations.ZeroMemory(_key);
    }

    /// <summary>What a mark says.</summary>
    /// <param name="Salt">Names the log file.</param>
    /// <param name="Generation">Counts the rewrites of the log.</param>
    /// <param name="Flushed">Frames on disk.</param>
    /// <param name="Identity"><see cref="FileIdentity.Name"/> of the log.</param>
    /// <param name="IsUntouched">False when somebody else wrote the mark's file since.</param>
    internal sealed record Content(byte[] Salt, ulong Generation, ulong Flushed, ulong Identity, bool IsUntouched);
}
