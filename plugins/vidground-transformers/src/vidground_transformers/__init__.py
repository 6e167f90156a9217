"""The engine `transformers`: local vision-language and text models."""
