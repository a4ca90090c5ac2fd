namespace Marmot.TestKit;

/// <summary>A folder of one test, readable by its owner only, gone with all it holds when disposed.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("marmot-test-").FullName;

    /// <summary>The full path of a file or folder in it, which need not exist.</summary>
    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Writes a file with mode 0600, as the servers ask of secrets, and returns its path.</summary>
    public string WriteSecret(string name, string text)
    {
        string path = File(name);
        System.IO.File.WriteAllText(path, text);
        if (!OperatingSystem.IsWindows())
        {
            System.IO.File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }

        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
