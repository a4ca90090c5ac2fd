using Marmot.Blossom;
using Marmot.Blossom.Commands;
using Marmot.Hosting;
using Marmot.Hosting.Lifetime;

if (args is [var word, ..] && BlossomCommands.Names.Contains(word))
{
    return await BlossomCommands.RunAsync(args);
}

var builder = MarmotHost.CreateBuilder(args);
builder.AddBlossom();
var app = builder.Build();
app.MapBlossom();
app.MapBlossomPage();
return await app.RunToEndAsync();
