using Marmot.Blossom.Blobs;
using Marmot.Blossom.Policies;

namespace Marmot.Blossom.Tests.Policies;

[Trait("Spec", "BUD-02")]
public sealed class BlobTypesTests
{
    [Theory]
    [InlineData("application/vnd.android.package-archive", ".apk")]
    [InlineData("image/heic", ".heic")]
    [InlineData("audio/opus", ".opus")]
    [InlineData("application/wasm", ".wasm")]
    [InlineData("application/vnd.apple.mpegurl", ".m3u8")]
    [InlineData("application/x-mpegurl", ".m3u8")]
    [InlineData("application/epub+zip", ".epub")]
    [InlineData("application/dash+xml", ".mpd")]
    [InlineData("image/jxl", ".jxl")]
    [InlineData("model/gltf-binary", ".glb")]
    [InlineData("image/jpeg", ".jpg")]
    [InlineData("audio/mpeg", ".mp3")]
    [InlineData("audio/ogg", ".ogg")]
    [InlineData("audio/flac", ".flac")]
    [InlineData("video/quicktime", ".mov")]
    [InlineData("video/mp4", ".mp4")]
    [InlineData("text/plain; charset=utf-8", ".txt")]
    [InlineData("application/octet-stream", ".bin")]
    [InlineData("nobody/knows", ".bin")]
    public void A_type_has_its_usual_extension(string type, string extension) => Assert.Equal(extension, BlobTypes.ExtensionOf(type));

    [Theory]
    [InlineData(".HEIC", "image/heic")]
    [InlineData(".jpeg", "image/jpeg")]
    [InlineData(".apk", "application/vnd.android.package-archive")]
    [InlineData(".none", "application/octet-stream")]
    public void An_extension_has_its_type(string extension, string type) => Assert.Equal(type, BlobTypes.TypeOf(extension));

    [Fact]
    public void Every_extension_of_the_table_makes_a_path_that_is_read_again()
    {
        var table = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "media-types.txt")).Where(line => line.Length > 0 && line[0] != '#').ToArray();
        Assert.True(table.Length > 1000);
        foreach (var type in table.Select(line => line.Split(' ')[0]))
        {
            Assert.Equal(type, BlobTypes.Normalize(type));
            Assert.True(BlobPath.TryParse(new string('a', 64) + BlobTypes.ExtensionOf(type), out _), type);
        }
    }

    [Theory]
    [InlineData("Text/HTML; Charset=UTF-8", "text/html; charset=utf-8")]
    [InlineData("text/html;charset=\"utf-8\"", "text/html; charset=utf-8")]
    [InlineData("text/html; boundary=x; charset=iso-8859-1; q=1", "text/html; charset=iso-8859-1")]
    [InlineData("text/html; charset=", "text/html")]
    [InlineData("text/html; charset=a b", "text/html")]
    [InlineData("text/html; charset=\"", "text/html")]
    [InlineData("text/html; boundary=charset=x", "text/html")]
    [InlineData("application/octet-stream; charset=utf-8", "application/octet-stream")]
    [InlineData("text/; charset=utf-8", "application/octet-stream")]
    [InlineData("; charset=utf-8", "application/octet-stream")]
    public void A_charset_is_kept_and_no_other_parameter(string declared, string kept) => Assert.Equal(kept, BlobTypes.Normalize(declared));

    [Fact]
    public void What_does_not_fit_is_left_away_and_rules_do_not_see_parameters()
    {
        Assert.Equal("text/plain", BlobTypes.Normalize("text/plain; charset=" + new string('a', 120)));
        Assert.True(BlobTypes.Matches("text/*", "text/html; charset=utf-8"));
        Assert.True(BlobTypes.Matches("text/html", "text/html; charset=utf-8"));
        Assert.True(BlobTypes.IsPassive("text/plain; charset=utf-8"));
        Assert.False(BlobTypes.IsPassive("image/svg+xml; charset=utf-8"));
    }
}
