using Marmot.Hosting.Settings;
using Marmot.TestKit;

namespace Marmot.Hosting.Tests.Settings;

public sealed class ListFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Comments_empty_lines_and_spaces_are_not_looked_at()
    {
        var path = Write("\ufeff# numbers\r\n\r\n  1  \n2 # two\n\t\n#3\n4");
        Assert.Equal([1, 2, 4], ListFile.Read<int>(path, int.TryParse, "a number"));
    }

    [Fact]
    public void A_bad_line_is_named_with_its_file_and_number()
    {
        var path = Write("1\n# two\nsecret\n");
        var error = Assert.Throws<InvalidDataException>(() => ListFile.Read<int>(path, int.TryParse, "a number"));
        Assert.Equal($"{path}, line 3: expected a number", error.Message);
    }

    [Fact]
    public void A_file_that_is_not_there_is_a_mistake_in_the_settings() =>
        Assert.Contains("cannot be read", Assert.Throws<InvalidDataException>(() => ListFile.Read<int>(_folder.File("none"), int.TryParse, "a number")).Message,
            StringComparison.Ordinal);

    private string Write(string text)
    {
        var path = _folder.File("list");
        File.WriteAllText(path, text);
        return path;
    }
}
