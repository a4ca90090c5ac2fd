using System.Text;

namespace Marmot.NotifyServer.Apps;

/// <summary>Files that hold secrets: read only when nobody else may read them, made with mode 0600, never overwritten.</summary>
/// <remarks>A file of root may be readable by its group (0440) when we are not root: that is how Kubernetes mounts a Secret for a pod that is not root.</remarks>
internal static class SecretFile
{
    /// <summary>No secret of ours is longer; a wrong path must not read a disk image.</summary>
    private const int MaxBytes = 64 * 1024;

    private const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    /// <summary>The content. The mode is asked of the open descriptor, so that nothing can be exchanged in between.</summary>
    /// <exception cref="InvalidDataException">Others may read it, or it is too long.</exception>
    public static string ReadText(string path)
    {
        using var handle = File.OpenHandle(path);
        if (!OperatingSystem.IsWindows() && File.GetUnixFileMode(handle) is var mode && (mode & Others) != 0
            && !((mode & Others) == UnixFileMode.GroupRead && !Environment.IsPrivilegedProcess && FileOwner.IsRoot(handle)))
        {
            throw new InvalidDataException($"{path}: other users may read this secret; chmod 600 it");
        }

        var length = RandomAccess.GetLength(handle);
        if (length > MaxBytes)
        {
            throw new InvalidDataException($"{path}: too long for a secret");
        }

        var bytes = new byte[length];
        try
        {
            var read = RandomAccess.Read(handle, bytes, 0);
            return Encoding.UTF8.GetString(bytes, 0, read);
        }
        finally
        {
            System.Security.Cryptography.CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <summary>Makes the file with all its content or not at all; false when it is already there.</summary>
    public static bool TryCreate(string path, ReadOnlySpan<byte> content)
    {
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { Length: > 0 } folder)
        {
            Directory.CreateDirectory(folder);
        }

        // Written aside and moved without overwriting: a crash leaves no half key under the real name.
        var aside = $"{path}.{Guid.NewGuid():N}.new";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        try
        {
            using (var file = new FileStream(aside, options))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            File.Move(aside, path, overwrite: false);
            return true;
        }
        catch (IOException) when (File.Exists(path))
        {
            return false;
        }
        finally
        {
            File.Delete(aside);
        }
    }
}
