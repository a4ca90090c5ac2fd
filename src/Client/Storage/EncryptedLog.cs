using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Platform.Files;
using Marmot.Platform.Native;

namespace Marmot.Client.Storage;

/// <summary>An append-only file of encrypted batches: a header, then frames (<see cref="FrameCodec"/>). Beside it lies its mark (<see cref="StoreMark"/>). One
/// owner.</summary>
/// <remarks>
/// An end that a crash tore is cut off when it is opened: frames that were never flushed and behind which nothing stands that was flushed after them. Anything
/// else that does not read is damage: an error, and the file stays as it is.
/// </remarks>
internal sealed class EncryptedLog : IDisposable
{
    private const int SaltSize = 32;

    // "MRMTSTO2" | kind u8 (0 key file, 1 passphrase) | salt 32 | Argon2id passes u64 | memory bytes u64 | generation u64: how often the log was rewritten
    private const int HeaderSize = FirstFormat.HeaderSize + sizeof(ulong);

    /// <summary>A damaged header must not ask for more work than any store does.</summary>
    private const ulong MaxPasses = 64;
    private const ulong MaxMemoryBytes = 4UL << 30;

    /// <summary>How much of a file a search for frames reads at once.</summary>
    private const int SearchBytes = 1 << 20;

    private readonly string _path;
    private readonly byte[] _master;
    private readonly bool _fromPassphrase;
    private readonly byte[] _passwordSalt;
    private readonly IStoreRecorder? _recorder;
    private readonly StoreMark _mark;
    private StoreFile _file;
    private FrameCodec _codec;
    private byte[] _header;
    private ulong _flushed;
    private ulong _identity;
    private bool _isBroken;

    private EncryptedLog(string path, StoreFile file, byte[] master, byte[] header, FrameCodec codec, StoreMark mark, IStoreRecorder? recorder)
    {
        (_path, _file, _master, _header, _codec, _mark, _recorder) = (path, file, master, header, codec, mark, recorder);
        (_fromPassphrase, _passwordSalt, Length) = (header[8] == 1, header[9..(9 + PasswordHash.SaltSize)], HeaderSize);
        _identity = FileIdentity.Of(path).Name;
    }

    /// <summary>Bytes of the file.</summary>
    public long Length { get; private set; }

    /// <summary>Frames of the file.</summary>
    public ulong Frames { get; private set; }

    /// <summary>The file, for a flush beside other work; another one after <see cref="Rewrite"/>, which leaves everything on disk.</summary>
    public StoreFile File => _file;

    /// <summary>True when the file may be a copy that was put back: what was done since is not in it (docs/decisions/0022).</summary>
    public bool MayBeCopy { get; private set; }

    private static ReadOnlySpan<byte> Magic => "MRMTSTO2"u8;

    private ReadOnlySpan<byte> Salt => _header.AsSpan(9, SaltSize);

    private ulong Generation => BinaryPrimitives.ReadUInt64BigEndian(_header.AsSpan(FirstFormat.HeaderSize));

    /// <summary>Opens or makes the file and plays every whole batch.</summary>
    /// <exception cref="InvalidDataException">The secret is wrong, or the file is damaged; it is left as it is.</exception>
    public static EncryptedLog Open(string path, StoreSecret secret, Action<string, byte[]?> apply, IStoreRecorder? recorder = null)
    {
        AtomicFile.DeleteDrafts(path); // a rewrite that did not get to its rename
        bool isNew = !System.IO.File.Exists(path);
        if (isNew)
        {
            Create(path, secret, recorder);
        }

        var file = StoreFile.Open(path, recorder);
        try
        {
            return Load(path, file, secret, apply, isNew, recorder);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Adds one batch; with <paramref name="durable"/> it is on disk when this returns.</summary>
    /// <exception cref="IOException">It could not be written. After a flush that failed the store takes nothing more: what is on the disk is unknown until it
    /// is opened again.</exception>
    public void Append(List<(string Key, byte[]? Value)> changes, bool durable)
    {
        ThrowIfBroken();
        byte[] frame = _codec.Seal(Frames, _flushed, changes);
        try
        {
            _file.Write(frame, Length);
        }
        catch (IOException)
        {
            // Whatever got there is no frame yet: the next one overwrites it.
            _file.SetLength(Length);
            throw;
        }

        Frames++;
        Length += frame.Length;
        if (durable)
        {
            FlushFile(_file);
            MarkFlushed(Frames);
        }
    }

    /// <summary>Flushes a file of the log; without locks, beside other work.</summary>
    public void FlushFile(StoreFile file)
    {
        try
        {
            file.Flush();
        }
        catch (IOException)
        {
            _isBroken = true;
            throw;
        }
    }

    /// <summary>Notes that so many frames are on disk.</summary>
    public void MarkFlushed(ulong frames)
    {
        if (frames > _flushed)
        {
            _flushed = frames;
            WriteMark();
        }
    }

    /// <summary>Accepts the file as it is: from now on the mark is about it. On disk when this returns.</summary>
    public void Accept()
    {
        _mark.Write(Salt, Generation, _flushed, _identity);
        _mark.Flush();
        StoreFile.FlushFolder(Path.GetDirectoryName(Path.GetFullPath(_path))!, _recorder);
        MayBeCopy = false;
    }

    /// <summary>Writes the live values to a new file under a new key and puts it in the old one's place; the old bytes go with the old file.</summary>
    public void Rewrite(IReadOnlyDictionary<string, byte[]> values)
    {
        ThrowIfBroken();
        byte[] salt = RandomNumberGenerator.GetBytes(SaltSize);
        _passwordSalt.CopyTo(salt, 0); // the passphrase is not at hand any more, its derived key is
        byte[] header = HeaderOf(salt, _fromPassphrase, Generation + 1);
        var codec = new FrameCodec(_master, salt, header);
        StoreFile? file = null;
        try
        {
            file = StoreFile.Draft(_path, _recorder);
            byte[] frame = codec.Seal(0, 0, [.. values.Select(pair => (pair.Key, (byte[]?)pair.Value))]);
            file.Write(header, 0);
            file.Write(frame, HeaderSize);
            file.Place(_path);
            _file.Dispose();
            _codec.Dispose();
            (_file, _codec, _header, Frames, Length) = (file, codec, header, 1, HeaderSize + frame.Length);
            (_flushed, _identity) = (1, FileIdentity.Of(_path).Name);
            WriteMark();
        }
        catch (IOException) when (_file != file)
        {
            // No space for a second copy: go on with the long one.
            file?.Abandon();
            codec.Dispose();
        }
    }

    public void Dispose()
    {
        _file.Dispose();
        _codec.Dispose();
        _mark.Dispose();
        CryptographicOperations.ZeroMemory(_master);
    }

    internal static string Damage(string path) => $"{path}: the key or passphrase is wrong, or the file is damaged; it was left as it is";

    // With an empty batch, so that the first frame tells a wrong secret from a torn one; written aside, so that a crash leaves no half store.
    private static void Create(string path, StoreSecret secret, IStoreRecorder? recorder)
    {
        byte[] salt = RandomNumberGenerator.GetBytes(SaltSize);
        byte[] master = MasterOf(secret, salt.AsSpan(0, PasswordHash.SaltSize), PasswordHash.Passes, PasswordHash.MemoryBytes);
        byte[] header = HeaderOf(salt, secret.IsPassphrase, generation: 0);
        using var codec = new FrameCodec(master, salt, header);
        CryptographicOperations.ZeroMemory(master);
        using var file = StoreFile.Draft(path, recorder);
        file.Write(header, 0);
        file.Write(codec.Seal(0, 0, []), HeaderSize);
        file.Place(path);
    }

    private static EncryptedLog Load(string path, StoreFile file, StoreSecret secret, Action<string, byte[]?> apply, bool isNew, IStoreRecorder? recorder)
    {
        byte[] header = new byte[HeaderSize];
        int read = file.Read(header, 0);
        bool isFirstFormat = header.AsSpan(0, 8).SequenceEqual(FirstFormat.Magic) && read >= FirstFormat.HeaderSize;
        if (!isFirstFormat && (read < HeaderSize || !header.AsSpan(0, 8).SequenceEqual(Magic)))
        {
            throw new InvalidDataException($"{path}: not a client store");
        }

        if (header[8] > 1 || (header[8] == 1) != secret.IsPassphrase)
        {
            throw new InvalidDataException(header[8] > 1
                ? $"{path}: not a client store"
                : $"{path}: this store is opened by a {(header[8] == 1 ? "passphrase" : "key file")}");
        }

        byte[] salt = header[9..(9 + SaltSize)];
        ulong passes = BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(9 + SaltSize));
        ulong memory = BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(9 + SaltSize + sizeof(ulong)));
        if (passes is 0 or > MaxPasses || memory > MaxMemoryBytes)
        {
            throw new InvalidDataException(Damage(path));
        }

        byte[] master = MasterOf(secret, salt.AsSpan(0, PasswordHash.SaltSize), passes, memory);
        string markPath = Path.ChangeExtension(path, ".mark");
        var mark = StoreMark.Open(markPath, master, recorder);
        var log = new EncryptedLog(path, file, master, header, new FrameCodec(master, salt, header), mark, recorder);
        try
        {
            if (isFirstFormat)
            {
                var values = new Dictionary<string, byte[]>(StringComparer.Ordinal);
                FirstFormat.Play(file, path, master, header[..FirstFormat.HeaderSize], (key, value) => Set(values, key, value));
                log._header = [.. header[..FirstFormat.HeaderSize], .. new byte[sizeof(ulong)]];
                log.Rewrite(values);
                foreach (var (key, value) in values)
                {
                    apply(key, value);
                }

                return log.Frames == 1 ? log : throw new IOException($"{path}: there is no space to write this store in today's format");
            }

            var known = mark.Read(markPath);
            log.Play(apply, known is not null && known.Salt.AsSpan().SequenceEqual(salt) ? known.Flushed : 0);
            log.MayBeCopy = !isNew && log.IsCopy(known);
            return log;
        }
        catch
        {
            mark.Dispose();
            log._codec.Dispose();
            CryptographicOperations.ZeroMemory(master);
            throw;
        }
    }

    private static void Set(Dictionary<string, byte[]> values, string key, byte[]? value)
    {
        if (value is null)
        {
            values.Remove(key);
        }
        else
        {
            values[key] = value;
        }
    }

    // A crash between a rewrite's rename and its mark leaves the mark one generation behind.
    private bool IsCopy(StoreMark.Content? mark) =>
        mark is null
        || !mark.IsUntouched
        || (mark.Salt.AsSpan().SequenceEqual(Salt)
            ? mark.Flushed > Frames || mark.Generation != Generation || mark.Identity != _identity
            : mark.Generation + 1 != Generation);

    private void Play(Action<string, byte[]?> apply, ulong flushedByMark)
    {
        long size = _file.Length;
        byte[] head = new byte[FrameCodec.HeadSize];
        while (Length < size)
        {
            if (_codec.TryReadHead(head.AsSpan(0, _file.Read(head, Length)), out int length, out ulong number, out _) && number == Frames
                && length <= size - Length)
            {
                byte[] frame = new byte[length];
                if (_file.Read(frame, Length) == length && _codec.TryOpen(frame, apply))
                {
                    Frames++;
                    Length += length;
                    continue;
                }
            }

            // The first frame was flushed before the file got its name; the others were when the mark says so, or a frame behind them.
            if (Frames == 0 || flushedByMark > Frames || IsFlushedBefore(size))
            {
                throw new InvalidDataException(Damage(_path));
            }

            _file.SetLength(Length);
            _file.Flush();
            break;
        }

        FlushFile(_file); // what could be read may not be on the disk yet, when only the process died
        _flushed = Frames;
    }

    // Looks for a frame behind the present one which says that this one was on disk.
    private bool IsFlushedBefore(long size)
    {
        byte[] part = new byte[SearchBytes + FrameCodec.HeadSize - 1];
        for (long at = Length + 1; at < size; at += SearchBytes)
        {
            var bytes = part.AsSpan(0, _file.Read(part, at));
            for (int i = 0; i + FrameCodec.HeadSize <= bytes.Length && i < SearchBytes; i++)
            {
                if (_codec.TryReadHead(bytes[i..], out _, out ulong number, out ulong flushed) && number > Frames && flushed > Frames)
                {
                    return true;
                }
            }
        }

        return false;
    }

    // The batch is on disk already, and a mark that lags behind is as good as after a crash.
    private void WriteMark()
    {
        try
        {
            _mark.Write(Salt, Generation, _flushed, _identity);
        }
        catch (IOException)
        {
            // The next flush writes it again.
        }
    }

    private void ThrowIfBroken()
    {
        if (_isBroken)
        {
            throw new IOException($"{_path}: the disk failed to take earlier changes; open the store again");
        }
    }

    private static byte[] MasterOf(StoreSecret secret, ReadOnlySpan<byte> passwordSalt, ulong passes, ulong memory) =>
        secret.IsPassphrase ? PasswordHash.DeriveKey(secret.Bytes, passwordSalt, passes, memory) : secret.Bytes.ToArray();

    private static byte[] HeaderOf(byte[] salt, bool fromPassphrase, ulong generation)
    {
        byte[] header = new byte[HeaderSize];
        Magic.CopyTo(header);
        header[8] = fromPassphrase ? (byte)1 : (byte)0;
        salt.CopyTo(header, 9);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(9 + SaltSize), PasswordHash.Passes);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(9 + SaltSize + sizeof(ulong)), PasswordHash.MemoryBytes);
        BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(FirstFormat.HeaderSize), generation);
        return header;
    }
}
