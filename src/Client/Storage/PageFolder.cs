using System.Security.Cryptography;
using Marmot.Platform.Files;

namespace Marmot.Client.Storage;

/// <summary>A page that lies on disk: the value a batch refers to it by.</summary>
/// <param name="Name">The file's name.</param>
/// <param name="Key">The file's key, 32 bytes; used for this one file and wiped with the value.</param>
internal sealed record PageReference(string Name, byte[] Key);

/// <summary>Values that need no memory: each a file of its own, written once under a key of its own (AES-256-GCM), its name the associated data. A file counts once a value refers to it.</summary>
internal sealed class PageFolder
{
    private const int KeySize = 32;
    private const int TagSize = 16;

    // A key encrypts one file once, so its nonce need not differ from any other.
    private static readonly byte[] Nonce = new byte[12];

    private readonly string _folder;

    /// <summary>Opens or makes the folder and deletes the files nothing refers to: a crash came between file and batch.</summary>
    public PageFolder(string folder, IEnumerable<PageReference> known)
    {
        _folder = folder;
        Directory.CreateDirectory(folder);
        var names = known.Select(page => page.Name).ToHashSet(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(folder).Where(file => !names.Contains(Path.GetFileName(file))))
        {
            File.Delete(file);
        }
    }

    /// <summary>Writes a page; it is on disk when this returns.</summary>
    public PageReference Write(ReadOnlySpan<byte> content)
    {
        var page = new PageReference($"{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16))}.page", RandomNumberGenerator.GetBytes(KeySize));
        byte[] bytes = new byte[content.Length + TagSize];
        using (var cipher = new AesGcm(page.Key, TagSize))
        {
            cipher.Encrypt(Nonce, content, bytes.AsSpan(0, content.Length), bytes.AsSpan(content.Length), System.Text.Encoding.UTF8.GetBytes(page.Name));
        }

        using (var file = new FileStream(Path.Combine(_folder, page.Name), FileModes.NewFile(FileMode.CreateNew, FileAccess.Write, FileModes.OwnerOnlyFile)))
        {
            file.Write(bytes);
            file.Flush(flushToDisk: true);
        }

        Folders.Flush(_folder);
        return page;
    }

    /// <summary>Reads a page.</summary>
    /// <exception cref="InvalidDataException">It is missing or was changed.</exception>
    public byte[] Read(PageReference page)
    {
        string path = Path.Combine(_folder, page.Name);
        try
        {
            byte[] bytes = File.ReadAllBytes(path);
            byte[] content = new byte[Math.Max(0, bytes.Length - TagSize)];
            using var cipher = new AesGcm(page.Key, TagSize);
            cipher.Decrypt(Nonce, bytes.AsSpan(0, content.Length), bytes.AsSpan(content.Length), content, System.Text.Encoding.UTF8.GetBytes(page.Name));
            return content;
        }
        catch (Exception exception) when (exception is FileNotFoundException or ArgumentException or CryptographicException)
        {
            throw new InvalidDataException($"{path}: this part of the history is missing or damaged", exception);
        }
    }
}
