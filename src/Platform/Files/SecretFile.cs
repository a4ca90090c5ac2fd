using System.Security.Cryptography;
using System.Text;

namespace Marmot.Platform.Files;

/// <summary>Files that hold secrets: read only when nobody else may read them, made with mode 0600, never overwritten.</summary>
/// <remarks>A file of root may be readable by its group (0440) when we are not root: that is how Kubernetes mounts a Secret for a pod that is not
/// root.</remarks>
public static class SecretFile
{
    /// <summary>The longest secret that is read, in bytes: a wrong path must not read a disk image.</summary>
    public const int MaxBytes = 64 * 1024;

    /// <summary>The content; the caller wipes it. The mode is asked of the open descriptor, so that nothing can be exchanged in between.</summary>
    /// <exception cref="InvalidDataException">Others may read it, or it is too long.</exception>
    /// <exception cref="IOException">It is missing or cannot be read.</exception>
    public static byte[] Read(string path)
    {
        using var handle = File.OpenHandle(path);
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(handle) & FileModes.GroupAndOthers) is var mode && mode != 0
            && !(mode == UnixFileMode.GroupRead && !Environment.IsPrivilegedProcess && FileOwner.IsRoot(handle)))
        {
            throw new InvalidDataException($"{path}: other users may read this secret; chmod 600 it");
        }

        var length = RandomAccess.GetLength(handle);
        if (length > MaxBytes)
        {
            throw new InvalidDataException($"{path}: too long for a secret");
        }

        var bytes = new byte[length];
        var read = 0;
        while (read < bytes.Length)
        {
            var count = RandomAccess.Read(handle, bytes.AsSpan(read), read);
            if (count == 0)
            {
                CryptographicOperations.ZeroMemory(bytes);
                throw new IOException($"{path}: became shorter while it was read");
            }

            read += count;
        }

        return bytes;
    }

    /// <summary>The content as text, UTF-8.</summary>
    /// <exception cref="InvalidDataException">Others may read it, or it is too long.</exception>
    /// <exception cref="IOException">It is missing or cannot be read.</exception>
    public static string ReadText(string path)
    {
        var bytes = Read(path);
        try
        {
            return Encoding.UTF8.GetString(bytes);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <summary>Makes the file with all its content or not at all, and the folders above it; false when it is already there.</summary>
    /// <exception cref="IOException">It could not be written or flushed.</exception>
    public static bool TryCreate(string path, ReadOnlySpan<byte> content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return AtomicFile.TryCreate(path, content, FileModes.OwnerOnlyFile);
    }
}
