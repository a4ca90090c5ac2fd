using Marmot.Platform.Files;
using Marmot.TestKit;

namespace Marmot.Platform.Tests.Files;

public sealed class SecretFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_secret_that_others_may_read_is_refused()
    {
        var path = _folder.File("key");
        Assert.True(SecretFile.TryCreate(path, "secret"u8));
        Assert.Equal("secret", SecretFile.ReadText(path));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, FileModes.OwnerOnlyFile | UnixFileMode.OtherRead);
            Assert.Throws<InvalidDataException>(() => SecretFile.Read(path));
        }
    }

    [Fact]
    public void A_file_too_long_for_a_secret_is_not_read()
    {
        var path = _folder.File("key");
        Assert.True(SecretFile.TryCreate(path, new byte[SecretFile.MaxBytes + 1]));
        Assert.Throws<InvalidDataException>(() => SecretFile.Read(path));
    }

    [Fact]
    public void Knows_a_file_of_root()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        using var roots = File.OpenHandle("/etc/passwd");
        Assert.True(FileOwner.IsRoot(roots));
        var path = _folder.File("mine");
        File.WriteAllText(path, "");
        using var mine = File.OpenHandle(path);
        Assert.Equal(Environment.IsPrivilegedProcess, FileOwner.IsRoot(mine));
    }
}
