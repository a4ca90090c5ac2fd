using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Marmot.Client.Storage;

/// <summary>A page that lies on disk: the value a batch refers to it by.</summary>
/// <param name="Name">The file's name.</param>
/// <param name="Key">The file's key, 32 bytes; used for this one file and wiped with the value.</param>
/// <param name="Records">How many records it has; 0 for pages of the first format, which are one ciphertext.</param>
internal sealed record PageReference(string Name, byte[] Key, int Records = 0);

/// <summary>
/// Records that need no memory: each page a file of its own, written once under a key of its own, its name the associated data (AES-256-GCM). Each record is
/// sealed by itself, and the table of their lengths stands at the beginning and at the end, so that damage costs the damaged record alone. A file counts once a
/// value refers to it.
/// </summary>
internal sealed class PageFolder
{
    private const int KeySize = 32;
    private const int TagSize = 16;
    private const int NonceSize = 12;

    // Nonces under a page's key: records count from 0; the two tables have numbers of their own.
    private const long FirstTable = 1L << 32;
    private const long SecondTable = FirstTable + 1;

    private readonly string _folder;
    private readonly IStoreRecorder? _recorder;

    /// <summary>Opens or makes the folder and deletes the files nothing refers to: a crash came between file and batch.</summary>
    public PageFolder(string folder, IEnumerable<PageReference> known, IStoreRecorder? recorder = null)
    {
        (_folder, _recorder) = (folder, recorder);
        Directory.CreateDirectory(folder);
        var names = known.Select(page => page.Name).ToHashSet(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(folder).Where(file => !names.Contains(Path.GetFileName(file))))
        {
            StoreFile.Delete(file, recorder);
        }
    }

    /// <summary>Writes a page; it is on disk when this returns.</summary>
    public PageReference Write(IReadOnlyList<byte[]> records)
    {
        var page = new PageReference($"{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16))}.page",
            RandomNumberGenerator.GetBytes(KeySize), records.Count);
        byte[] table = new byte[records.Count * sizeof(int)];
        for (int i = 0; i < records.Count; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(table.AsSpan(i * sizeof(int)), records[i].Length);
        }

        using var content = new MemoryStream();
        using (var cipher = new AesGcm(page.Key, TagSize))
        {
            content.Write(Seal(cipher, page, FirstTable, table));
            for (int i = 0; i < records.Count; i++)
            {
                content.Write(Seal(cipher, page, i, records[i]));
            }

            content.Write(Seal(cipher, page, SecondTable, table));
        }

        string path = Path.Combine(_folder, page.Name);
        using (var file = StoreFile.Create(path, _recorder))
        {
            file.Write(content.GetBuffer().AsSpan(0, (int)content.Length), 0);
            file.Flush();
        }

        StoreFile.FlushFolder(_folder, _recorder);
        return page;
    }

    /// <summary>Reads a page; a record that is damaged is null.</summary>
    /// <exception cref="InvalidDataException">The page is missing, or nothing of it can be read.</exception>
    public byte[]?[] Read(PageReference page)
    {
        string path = Path.Combine(_folder, page.Name);
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (FileNotFoundException missing)
        {
            throw new InvalidDataException($"{path}: this part of the history is missing", missing);
        }

        using var cipher = new AesGcm(page.Key, TagSize);
        return page.Records == 0 ? ReadFirstFormat(cipher, page, bytes, path) : ReadRecords(cipher, page, bytes, path);
    }

    private static byte[]?[] ReadRecords(AesGcm cipher, PageReference page, byte[] bytes, string path)
    {
        int tableSize = (page.Records * sizeof(int)) + TagSize;
        if (bytes.Length < 2 * tableSize
            || (Open(cipher, page, FirstTable, bytes.AsSpan(0, tableSize))
                ?? Open(cipher, page, SecondTable, bytes.AsSpan(bytes.Length - tableSize))) is not { } table)
        {
            throw new InvalidDataException($"{path}: this part of the history is damaged");
        }

        var records = new byte[]?[page.Records];
        int at = tableSize;
        for (int i = 0; i < records.Length; i++)
        {
            int size = BinaryPrimitives.ReadInt32BigEndian(table.AsSpan(i * sizeof(int))) + TagSize;
            records[i] = at + size <= bytes.Length ? Open(cipher, page, i, bytes.AsSpan(at, size)) : null;
            at += size;
        }

        return records;
    }

    // One ciphertext, nonce 0; in it length u32 and bytes, record by record.
    private static byte[]?[] ReadFirstFormat(AesGcm cipher, PageReference page, byte[] bytes, string path)
    {
        if (bytes.Length < TagSize || Open(cipher, page, 0, bytes) is not { } content)
        {
            throw new InvalidDataException($"{path}: this part of the history is damaged");
        }

        var records = new List<byte[]?>();
        for (var rest = content.AsSpan(); !rest.IsEmpty; rest = rest[(sizeof(int) + records[^1]!.Length)..])
        {
            records.Add(rest.Slice(sizeof(int), BinaryPrimitives.ReadInt32BigEndian(rest)).ToArray());
        }

        return [.. records];
    }

    private static byte[] Seal(AesGcm cipher, PageReference page, long number, ReadOnlySpan<byte> content)
    {
        byte[] bytes = new byte[content.Length + TagSize];
        cipher.Encrypt(NonceOf(number), content, bytes.AsSpan(0, content.Length), bytes.AsSpan(content.Length), System.Text.Encoding.UTF8.GetBytes(page.Name));
        return bytes;
    }

    private static byte[]? Open(AesGcm cipher, PageReference page, long number, ReadOnlySpan<byte> bytes)
    {
        byte[] content = new byte[bytes.Length - TagSize];
        try
        {
            cipher.Decrypt(NonceOf(number), bytes[..content.Length], bytes[content.Length..], content, System.Text.Encoding.UTF8.GetBytes(page.Name));
            return content;
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
    }

    private static byte[] NonceOf(long number)
    {
        byte[] nonce = new byte[NonceSize];
        BinaryPrimitives.WriteInt64BigEndian(nonce.AsSpan(NonceSize - sizeof(long)), number);
        return nonce;
    }
}
